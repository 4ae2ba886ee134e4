"""Idempotency keys of our POSTs (draft-ietf-httpapi-idempotency-key-header): the first answer is the answer."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

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


def fingerprint(method: str, path: str, body: bytes) -> str:
    """What the same request means: method, path and body."""
    return hashlib.sha256(b"\0".join([method.encode(), path.encode(), body])).hexdigest()


def find(conn: Conn, *, account: str, key: str, body_sha256: str) -> Answer | None:
    """Take the key for this transaction; the earlier answer, if there is one.

    Raises KeyInUse while another transaction has it, KeyReused for another request.
    """
    row = conn.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (f"idempotency:{account}:{key}",)
    ).fetchone()
    if row is None or not row[0]:
        raise KeyInUse("a request with this key is running")
    found = conn.execute(
        "SELECT body_sha256, status, body, media_type FROM idempotency_keys WHERE account = %s AND key = %s",
        (account, key),
    ).fetchone()
    if found is None:
        return None
    if found[0] != body_sha256:
        raise KeyReused("this key was used for another request")
    return Answer(status=found[1], body=found[2], media_type=found[3])


def save(conn: Conn, *, account: str, key: str, body_sha256: str, answer: Answer, now: datetime) -> None:
    """Keep the answer, in the transaction of the change."""
    conn.execute(
        """INSERT INTO idempotency_keys (account, key, body_sha256, status, body, media_type, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (account, key, body_sha256, answer.status, answer.body, answer.media_type, now),
    )
