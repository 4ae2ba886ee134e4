"""Audit seals: a hash chain of signed Merkle heads over the audit log, and its verifier.

The chain alone cannot show that its end was cut off. So each head leaves the database at once: the sealer logs it, and
the number of the last seal is a metric. The verifier takes a head as an anchor that the chain must contain.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from shared.db import Conn, Pool
from shared.security.tokens import KeySet, SigningKey, TokenKind, TokenRefused, sign, verify
from shared.tx import Clock, transaction, utc_now

log = structlog.get_logger()

BATCH: Final = 1000
SEAL_AFTER: Final = timedelta(seconds=2)
FIRST: Final = "0" * 64
_LOCK: Final = 0x7365_616C


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault of the audit log."""

    seal_id: int
    what: str


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over one or more leaves, hashed as in RFC 6962, section 2.1."""
    nodes = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(nodes) > 1:
        pairs = [nodes[at : at + 2] for at in range(0, len(nodes), 2)]
        nodes = [hashlib.sha256(b"\1" + pair[0] + pair[1]).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return nodes[0]


def seal_next(
    pool: Pool, key: SigningKey, *, service: str, clock: Clock = utc_now, after: timedelta = SEAL_AFTER
) -> bool:
    """Seal the committed rows once the oldest is `after` old, so that rows share a seal.

    Returns whether there was anything to seal. One sealer at a time per database.
    """
    with transaction(pool, clock=clock) as tx:
        if not _take_lock(tx.conn):
            return False
        rows = _unsealed(tx.conn)
        if not rows or rows[0][1] > tx.now - after:
            return False
        _, previous = last_seal(tx.conn)
        root = merkle_root([_leaf(row) for row in rows]).hex()
        head = _head(previous, root, len(rows), tx.now)
        claims = {"sub": head, "previous": previous}
        signature = sign(claims, kind=TokenKind.AUDIT_SEAL, key=key, now=tx.now, issuer=service)
        inserted = tx.conn.execute(
            """INSERT INTO audit_seals (sealed_at, row_count, merkle_root, previous, head, signature)
               VALUES (%s, %s, %s, %s, %s, %s) RETURNING id""",
            (tx.now, len(rows), root, previous, head, signature),
        ).fetchone()
        assert inserted is not None
        tx.conn.execute("UPDATE audit_log SET seal_id = %s WHERE id = ANY(%s)", (inserted[0], [row[0] for row in rows]))
    # After the commit: a logged head is in the chain for good.
    log.info("audit.sealed", seal_id=inserted[0], rows=len(rows), head=head, signature=signature)
    return True


def check(conn: Conn, keys: KeySet, *, service: str, now: datetime, anchors: Collection[str] = ()) -> Iterator[Finding]:
    """Recompute every seal. Yields faults and missing anchors. Memory does not grow with the log.

    Without a finding, no sealed row was changed, added or removed, up to the newest anchor at least.
    """
    previous, last_id = FIRST, 0
    missing = set(anchors)
    with conn.cursor(name="seals") as seals:
        seals.itersize = _FETCH_ROWS
        seals.execute(f"SELECT {_SEAL} FROM audit_seals ORDER BY id")
        for seal in seals:
            rows = conn.execute(f"SELECT {_COLUMNS} FROM audit_log WHERE seal_id = %s ORDER BY id", seal[:1]).fetchall()
            for what in _faults(seal, rows, previous, keys, service, now):
                yield Finding(seal_id=seal[0], what=what)
            last_id, previous = seal[0], seal[5]
            missing.discard(previous)
    for head in sorted(missing):
        yield Finding(seal_id=last_id, what=f"the log ends without {head}, which was sealed: its end was cut off")


def last_seal(conn: Conn) -> tuple[int, str]:
    """Return the number and head of the last seal."""
    row = conn.execute("SELECT id, head FROM audit_seals ORDER BY id DESC LIMIT 1").fetchone()
    return (0, FIRST) if row is None else (int(row[0]), str(row[1]))


def _faults(
    seal: tuple[Any, ...], rows: Sequence[tuple[Any, ...]], previous: str, keys: KeySet, service: str, now: datetime
) -> Iterator[str]:
    _, sealed_at, row_count, root, follows, head, signature = seal
    if follows != previous:
        yield "does not follow the seal before it"
    if len(rows) != row_count:
        yield f"{row_count} rows were sealed, {len(rows)} are there"
    elif merkle_root([_leaf(row) for row in rows]).hex() != root:
        yield "a row was changed"
    if _head(follows, root, row_count, sealed_at) != head or not _is_signed(signature, head, keys, service, now):
        yield "the head is not the one that was signed"


_FETCH_ROWS: Final = 200
_SEAL: Final = "id, sealed_at, row_count, merkle_root, previous, head, signature"
_COLUMNS: Final = "id, time, actor, action, subject, details, causation_id"


def _unsealed(conn: Conn) -> list[tuple[Any, ...]]:
    return conn.execute(
        f"SELECT {_COLUMNS} FROM audit_log WHERE seal_id IS NULL ORDER BY id LIMIT %s", (BATCH,)
    ).fetchall()


def _leaf(row: tuple[Any, ...]) -> bytes:
    identity, time, *rest = row
    return json.dumps([identity, time.isoformat(), *rest], sort_keys=True, separators=(",", ":")).encode()


def _head(previous: str, root: str, row_count: int, sealed_at: datetime) -> str:
    return hashlib.sha256(f"{previous} {root} {row_count} {sealed_at.isoformat()}".encode()).hexdigest()


def _is_signed(signature: str, head: str, keys: KeySet, service: str, now: datetime) -> bool:
    try:
        return bool(verify(signature, kind=TokenKind.AUDIT_SEAL, keys=keys, now=now, issuer=service)["sub"] == head)
    except TokenRefused:
        return False


def _take_lock(conn: Conn) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
    return row is not None and bool(row[0])
