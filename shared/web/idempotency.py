"""Idempotency keys of POST requests (draft-ietf-httpapi-idempotency-key-header): a repetition gets the first answer."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from shared.db import Conn
from shared.errors import Refused


class KeyMissing(Refused):
    """The request needs an Idempotency-Key."""

    reason = "idempotency-key-missing"


class KeyInUse(Refused):
    """A request with this key is in progress."""

    reason = "idempotency-key-in-use"


class KeyReused(Refused):
    """The key was used before, with another request."""

    reason = "idempotency-key-reused"


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """A request with an Idempotency-Key, which belongs to an account."""

    account: str
    key: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A stored response."""

    status: int
    body: bytes
    media_type: str


_MIN_SECRET_BYTES: Final = 32
# Longer than any request: the longest waits for two calls of the payment provider.
RUNNING_LEASE: Final = timedelta(seconds=60)


class FingerprintKey:
    """Key of request fingerprints, which a stolen database lacks: a plain hash of a body would reveal a PIN in it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _MIN_SECRET_BYTES:
            raise ValueError(f"fingerprint key under {_MIN_SECRET_BYTES} bytes")
        self._secret = secret

    @classmethod
    def load(cls, path: Path) -> "FingerprintKey":
        """Read the key from a file, every byte of it."""
        return cls(path.read_bytes())

    def of(self, method: str, path: str, body: bytes) -> str:
        """Return the fingerprint of method, path and body (HMAC-SHA-256, in hexadecimal)."""
        return hmac.digest(self._secret, b"\0".join([method.encode(), path.encode(), body]), "sha256").hex()


def find(conn: Conn, request: KeyedRequest) -> Answer | None:
    """Claim the key for this transaction. Returns the earlier answer, if there is one.

    Raises KeyInUse while another transaction has it, KeyReused for another request.
    """
    row = conn.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (f"idempotency:{request.account}:{request.key}",)
    ).fetchone()
    if row is None or not row[0]:
        raise KeyInUse("a request with this key is running")
    found = conn.execute(
        "SELECT fingerprint, status, body, media_type FROM idempotency_keys WHERE account = %s AND key = %s",
        (request.account, request.key),
    ).fetchone()
    if found is None:
        return None
    if found[0] != request.fingerprint:
        raise KeyReused("this key was used for another request")
    return Answer(status=found[1], body=found[2], media_type=found[3])


def begin(conn: Conn, request: KeyedRequest, *, now: datetime) -> datetime:
    """Claim the key for a request of several transactions. Returns the end of the claim. Call `find` in it first.

    Raises KeyInUse while this request runs elsewhere, KeyReused if another request has the key or died with it.
    """
    until = now + RUNNING_LEASE
    claimed = conn.execute(
        """INSERT INTO idempotency_running AS running (account, key, fingerprint, until) VALUES (%s, %s, %s, %s)
           ON CONFLICT (account, key) DO UPDATE SET until = excluded.until
           WHERE running.until <= %s AND running.fingerprint = excluded.fingerprint""",
        (request.account, request.key, request.fingerprint, until, now),
    ).rowcount
    if claimed == 1:
        return until
    row = conn.execute(
        "SELECT fingerprint FROM idempotency_running WHERE account = %s AND key = %s", (request.account, request.key)
    ).fetchone()
    if row is not None and row[0] != request.fingerprint:
        raise KeyReused("this key was used for another request")
    raise KeyInUse("a request with this key is running")


def end(conn: Conn, request: KeyedRequest, *, until: datetime) -> bool:
    """Release the claim of `begin`. Returns False if it expired and another run of the request has the key."""
    changed = conn.execute(
        "DELETE FROM idempotency_running WHERE account = %s AND key = %s AND until = %s",
        (request.account, request.key, until),
    )
    return changed.rowcount == 1


def save(conn: Conn, request: KeyedRequest, answer: Answer, *, now: datetime) -> None:
    """Store the answer, in the transaction of the change."""
    conn.execute(
        """INSERT INTO idempotency_keys (account, key, fingerprint, status, body, media_type, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (request.account, request.key, request.fingerprint, answer.status, answer.body, answer.media_type, now),
    )
