"""Signed extracts: the facts of one service's database that other services' facts must agree with, as JSON lines.

The first line names the service and the time, the last one has a signature over all lines before it. Everything is read
in one snapshot and streamed, so an extract of any size takes little memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from shared.db import Conn, Pool
from shared.security import audit_seals
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign

FORMAT: Final = 1
_FETCH_ROWS: Final = 1000
# Sorting all events takes longer than the timeout of a web request's statement.
_NO_TIMEOUT: Final = "SET LOCAL statement_timeout = 0"

Write = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A kind of record: the query's columns are its fields; ORDER BY makes extracts of the same state equal."""

    name: str
    query: LiteralString


def claims_sha256(column: LiteralString) -> LiteralString:
    """Return an SQL expression for the digest of a token's claims without `iat`: equal for a token that is signed
    again.
    """
    payload = "split_part(" + column + ", '.', 2)"
    padded = "translate(" + payload + ", '-_', '+/') || repeat('=', mod(4 - mod(length(" + payload + "), 4), 4))"
    claims = "convert_from(decode(" + padded + ", 'base64'), 'UTF8')::jsonb - 'iat'"
    return "encode(sha256(convert_to((" + claims + ")::text, 'UTF8')), 'hex')"


# No event data and no personal data: a digest is enough to compare.
OF_EVERY_SERVICE: Final = (
    Table(
        name="event",
        query="""SELECT event_id AS id, topic, key, sequence, type, time, sent_at IS NOT NULL AS sent,
                        encode(sha256(data), 'hex') AS data_sha256
                 FROM outbox ORDER BY topic, key, sequence""",
    ),
    Table(
        name="counter",
        query="SELECT topic, key, last_sequence AS sequence FROM outbox_sequences ORDER BY topic, key",
    ),
    Table(
        name="inbox",
        query="""SELECT topic, key, last_sequence AS sequence, last_event_id AS event_id, held_reason AS held
                 FROM inbox ORDER BY topic, key""",
    ),
    Table(
        name="held",
        query="""SELECT topic, key, sequence, reason, parked_at AS since
                 FROM parked_events ORDER BY topic, key, sequence, id""",
    ),
    Table(name="seal", query="SELECT id, head FROM audit_seals ORDER BY id"),
    Table(name="unsealed", query="SELECT id, time FROM audit_log WHERE seal_id IS NULL ORDER BY id"),
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A service's identity in its extract, and its own tables."""

    service: str
    reads: Sequence[str]
    tables: Sequence[Table]
    key: SigningKey


def write_file(pool: Pool, source: Source, output: Path, *, now: datetime) -> str:
    """Write an extract to a file, which appears once it is complete. Returns the state hash."""
    unfinished = output.with_name(f"{output.name}.unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        state = write(pool, source, file.write, now=now)
    unfinished.replace(output)
    return state


def write(pool: Pool, source: Source, out: Write, *, now: datetime) -> str:
    """Write an extract line by line. Returns the state hash: the SHA-256 of all its records."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute(_NO_TIMEOUT)
        return write_signed(_records(conn, source, now), source, out, now=now)


def write_signed(records: Iterable[Mapping[str, Any]], source: Source, out: Write, *, now: datetime) -> str:
    """Write these records as an extract of the source. Returns the state hash."""
    signed, state = hashlib.sha256(), hashlib.sha256()
    rows = 0
    head = {"format": FORMAT, "service": source.service, "taken_at": now, "reads": sorted(source.reads)}
    first = _line({"record": "extract", **head})
    signed.update(first.encode())
    out(first)
    for record in records:
        line = _line(record)
        signed.update(line.encode())
        state.update(line.encode())
        rows += 1
        out(line)
    claims = {"sub": signed.hexdigest(), "rows": rows, "state": state.hexdigest()}
    signature = sign(claims, kind=TokenKind.EXTRACT, key=source.key, now=now, issuer=source.service)
    out(_line({"record": "end", "rows": rows, "state_sha256": state.hexdigest(), "signature": signature}))
    return state.hexdigest()


def _records(conn: Conn, source: Source, now: datetime) -> Iterator[dict[str, Any]]:
    for table in (*OF_EVERY_SERVICE, *source.tables):
        with conn.cursor(name="extract", row_factory=dict_row) as cursor:
            cursor.itersize = _FETCH_ROWS
            for row in cursor.execute(table.query):
                yield {"record": table.name, **row}
    keys = KeySet.parse({"keys": [source.key.jwk()]})
    for finding in audit_seals.check(conn, keys, service=source.service, now=now):
        yield {"record": "finding", "seal_id": finding.seal_id, "what": finding.what}


def _line(record: Mapping[str, Any]) -> str:
    """Return one record as a line; the same fields give the same bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), default=_text) + "\n"


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def fields_of(line: str) -> Mapping[str, Any]:
    """Parse one line. Raises ValueError."""
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("record"), str):
        raise ValueError("a line is no record of an extract")
    return found
