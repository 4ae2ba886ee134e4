"""Idempotency keys of our POSTs (draft-ietf-httpapi-idempotency-key-header): the first answer is the answer."""

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
    """A request with this key is being worked on."""

    reason = "idempotency-key-in-use"


class KeyReused(Refused):
    """The key came before, with another request."""

    reason = "idempotency-key-reused"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response as it was given."""

    status: int
    body: bytes
    media_type: str


_MIN_SECRET_BYTES: Final = 32
# Outlasts every request: the longest waits for two calls of the payment provider.
RUNNING_LEASE: Final = timedelta(seconds=60)


class FingerprintKey:
    """The secret that a stolen database lacks: a bare hash over a body with a PIN in it would give the PIN away."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _MIN_SECRET_BYTES:
            raise ValueError(f"fingerprint key under {_MIN_SECRET_BYTES} bytes")
        self._secret = secret

    @classmethod
    def load(cls, path: Path) -> "FingerprintKey":
        """Read it from a file, every byte of it."""
        return cls(path.read_bytes())

    def of(self, method: str, path: str, body: bytes) -> str:
        """What the same request means: method, path and body (HMAC-SHA-256, in hexadecimal)."""
        return hmac.digest(self._secret, b"\0".join([method.encode(), path.encode(), body]), "sha256").hex()


def find(conn: Conn, *, account: str, key: str, fingerprint: str) -> Answer | None:
    """Take the key for this transaction; the earlier answer, if there is one.

    Raises KeyInUse while another transaction has it, KeyReused for another request.
    """
    row = conn.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (f"idempotency:{account}:{key}",)
    ).fetchone()
    if row is None or not row[0]:
        raise KeyInUse("a request with this key is running")
    found = conn.execute(
        "SELECT fingerprint, status, body, media_type FROM idempotency_keys WHERE account = %s AND key = %s",
        (account, key),
    ).fetchone()
    if found is None:
        return None
    if found[0] != fingerprint:
        raise KeyReused("this key was used for another request")
    return Answer(status=found[1], body=found[2], media_type=found[3])


def begin(conn: Conn, *, account: str, key: str, fingerprint: str, now: datetime) -> datetime:
    """Claim the key for a request of several transactions; return until when. Call `find` in this transaction first.

    Raises KeyInUse while this request runs elsewhere, KeyReused if another request has the key or died with it.
    """
    until = now + RUNNING_LEASE
    claimed = conn.execute(
        """INSERT INTO idempotency_running AS running (account, key, fingerprint, until) VALUES (%s, %s, %s, %s)
           ON CONFLICT (account, key) DO UPDATE SET until = excluded.until
           WHERE running.until <= %s AND running.fingerprint = excluded.fingerprint""",
        (account, key, fingerprint, until, now),
    ).rowcount
    if claimed == 1:
        return until
    row = conn.execute(
        "SELECT fingerprint FROM idempotency_running WHERE account = %s AND key = %s", (account, key)
    ).fetchone()
    if row is not None and row[0] != fingerprint:
        raise KeyReused("this key was used for another request")
    raise KeyInUse("a request with this key is running")


def end(conn: Conn, *, account: str, key: str, until: datetime) -> bool:
    """Give up the claim of `begin`; False if it lapsed and another run of the request has the key."""
    return (
        conn.execute(
            "DELETE FROM idempotency_running WHERE account = %s AND key = %s AND until = %s", (account, key, until)
        ).rowcount
        == 1
    )


def save(conn: Conn, *, account: str, key: str, fingerprint: str, answer: Answer, now: datetime) -> None:
    """Keep the answer, in the transaction of the change."""
    conn.execute(
        """INSERT INTO idempotency_keys (account, key, fingerprint, status, body, media_type, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (account, key, fingerprint, answer.status, answer.body, answer.media_type, now),
    )
