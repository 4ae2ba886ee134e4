"""Held events: kept whole, drained in sequence order, redriven or skipped by an operator."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from psycopg.types.json import Jsonb

from shared.db import Conn
from shared.errors import Refused
from shared.events.base import Envelope
from shared.messaging import codec
from shared.messaging.inbox import CONFLICT, Place

GAP: Final = "gap"
WAITING: Final = "waiting"
NO_SEQUENCE: Final = "no-sequence"
_LONGEST_KEY: Final = 200
# What stays readable of a header in the table; all else is percent-encoded, as PostgreSQL cannot keep every byte.
_READABLE: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One Kafka record as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None

    def envelope(self) -> Envelope:
        """Read it; raises Undecodable."""
        return codec.from_record(self.topic, self.key, self.headers, self.value)

    @property
    def traceparent(self) -> str | None:
        """The trace it belongs to, as far as that can be read."""
        return next(
            (raw.decode("ascii", "replace") for name, raw in self.headers if name == "ce_traceparent" and raw), None
        )

    @property
    def sort_key(self) -> tuple[bytes, str, int, int]:
        """Key order, whatever the topic: two consumers then lock renewals in one order."""
        return (self.key or b"", self.topic, self.partition, self.offset)


class NotParked(Refused):
    """There is no such held event."""

    reason = "not-parked"


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A held event, as an operator sees it."""

    id: int
    place: Place
    sequence: int | None
    reason: str
    error: str
    parked_at: datetime
    tries: int = 0
    record: Record

    @property
    def redrivable(self) -> bool:
        """Waiting for its turn only, not because it failed."""
        return self.reason == GAP

    @property
    def event_id(self) -> uuid.UUID | None:
        """Its id, if that can be read."""
        given = [value for name, value in self.record.headers if name == "ce_id" and value is not None]
        try:
            return uuid.UUID(given[0].decode()) if given else None
        except ValueError:
            return None

    @property
    def cursor(self) -> "Cursor":
        """Behind it the next page begins."""
        return self.place.topic, self.place.key, self.sequence or 0, self.id

    @property
    def at(self) -> str:
        """Where it lies in the topic: partition/offset."""
        return f"{self.record.partition}/{self.record.offset}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names for an operator. Only `name` is always its own: offsets begin again in a topic made again."""
        return (self.name, self.at) if self.event_id is None else (self.name, self.at, str(self.event_id))

    @property
    def name(self) -> str:
        """The name of this held event and no other."""
        return f"#{self.id}"


def _hash(headers: Sequence[Sequence[str | None]], value: bytes | None) -> str:
    """How a record that cannot be read is known: by a hash over headers and data."""
    raw = json.dumps(headers).encode() + (b"" if value is None else b"\0" + value)
    return f"sha256 {hashlib.sha256(raw).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """Which event is held and why. It has no id if it cannot be read, and no sequence if that cannot be read either."""

    place: Place
    sequence: int | None
    event_id: uuid.UUID | None
    reason: str
    error: str
    # When one that waits is tried again.
    retry_at: datetime | None = None


def park(conn: Conn, held: Held, record: Record, *, now: datetime, code_version: str) -> bool:
    """Store a held record; False if the very same event is held already.

    Raises UniqueViolation if another event kept it from being stored: nothing is lost without a word.
    """
    headers = [[_quoted(name.encode()), _quoted(value)] for name, value in record.headers]
    known_by = _hash(headers, record.value) if held.event_id is None else f"{held.sequence} {held.event_id}"
    stored = conn.execute(
        """INSERT INTO parked_events (consumer, topic, key, sequence, identity, "partition", "offset", headers, value,
                                      reason, error, retry_at, code_version, parked_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (consumer, topic, key, identity) DO NOTHING""",
        (
            *held.place.columns,
            held.sequence,
            known_by,
            record.partition,
            record.offset,
            Jsonb(headers),
            record.value,
            held.reason,
            storable(held.error),
            held.retry_at,
            code_version,
            now,
        ),
    )
    return stored.rowcount == 1


def storable(text: str) -> str:
    """A message as PostgreSQL can keep it, and not too long."""
    return text[:2000].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def key_of(raw: bytes | None) -> str:
    """A record's key for a row's key, whatever bytes it has; of one too long for an index, its beginning and hash."""
    text = storable((raw or b"").decode("utf-8", "backslashreplace"))
    if len(raw or b"") <= _LONGEST_KEY:
        return text
    return f"{text[:40]}… sha256 {hashlib.sha256(raw or b'').hexdigest()}"


def _quoted(raw: bytes | None) -> str | None:
    return None if raw is None else quote_from_bytes(raw, safe=_READABLE)


def _unquoted(text: str | None) -> bytes | None:
    return None if text is None else unquote_to_bytes(text)


_COLUMNS = 'id, consumer, topic, key, sequence, "partition", "offset", headers, value, reason, error, parked_at, tries'


def find_next(conn: Conn, place: Place, sequence: int) -> Parked | None:
    """The parked event with this sequence, if there is one and no other claims its number."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events
            WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s AND reason <> %s""",
        (*place.columns, sequence, CONFLICT),
    ).fetchone()
    return None if row is None else _parked(row)


def find_due(conn: Conn, consumer: str, now: datetime) -> Parked | None:
    """The waiting event of a consumer that shall be tried again first, if its time has come."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND reason = 'waiting' AND retry_at <= %s
            ORDER BY retry_at, id LIMIT 1""",
        (consumer, now),
    ).fetchone()
    return None if row is None else _parked(row)


def wait_until(conn: Conn, parked: Parked, error: str, retry_at: datetime) -> None:
    """Let it wait for another try. Nothing if it went meanwhile, or another try was made."""
    conn.execute(
        """UPDATE parked_events SET reason = %s, error = %s, tries = tries + 1, retry_at = %s
           WHERE id = %s AND tries = %s AND reason = %s""",
        (WAITING, storable(error), retry_at, parked.id, parked.tries, parked.reason),
    )


def has_number(conn: Conn, place: Place, sequence: int) -> bool:
    """Whether any event with this number is parked, contested or not."""
    row = conn.execute(
        "SELECT 1 FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s LIMIT 1",
        (*place.columns, sequence),
    ).fetchone()
    return row is not None


def find_of_key(conn: Conn, place: Place) -> list[Parked]:
    """Every held event of one key, in its order."""
    rows = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s
            ORDER BY sequence NULLS LAST, id""",
        place.columns,
    ).fetchall()
    return [_parked(row) for row in rows]


def contest(conn: Conn, place: Place, sequence: int) -> None:
    """Another event claims this number: what is parked under it waits for a person, too."""
    conn.execute(
        """UPDATE parked_events SET reason = %s, error = reason || ': ' || error
           WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s AND reason <> %s""",
        (CONFLICT, *place.columns, sequence, CONFLICT),
    )


def find(conn: Conn, consumer: str, parked_id: int) -> Parked:
    """One held event of a consumer. Raises NotParked."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND id = %s", (consumer, parked_id)
    ).fetchone()
    if row is None:
        raise NotParked("there is no such held event (any more)")
    return _parked(row)


# Where a page of held events begins: behind this topic, key, sequence and id.
Cursor = tuple[str, str, int, int]
FIRST: Final[Cursor] = ("", "", 0, 0)


def list_page(conn: Conn, *, consumer: str, after: Cursor, limit: int, with_data: bool = True) -> list[Parked]:
    """Held events of a consumer by topic, key and sequence, from here on, if need be without their data."""
    columns = _COLUMNS if with_data else _COLUMNS.replace(" value,", " NULL::bytea,")
    rows = conn.execute(
        f"""SELECT {columns} FROM parked_events
            WHERE consumer = %s AND (topic, key, COALESCE(sequence, 0), id) > (%s, %s, %s, %s)
            ORDER BY topic, key, COALESCE(sequence, 0), id LIMIT %s""",
        (consumer, *after, limit),
    ).fetchall()
    return [_parked(row) for row in rows]


def list_parked(conn: Conn, *, consumer: str, page: int = 500) -> Iterator[Parked]:
    """All held events of a consumer by topic, key and sequence, read a page at a time."""
    after = FIRST
    while found := list_page(conn, consumer=consumer, after=after, limit=page):
        yield from found
        after = found[-1].cursor


def remove(conn: Conn, parked_id: int) -> None:
    """Take an event out, once it has been applied or skipped."""
    conn.execute("DELETE FROM parked_events WHERE id = %s", (parked_id,))


def give_reason(conn: Conn, parked_id: int, reason: str, error: str) -> None:
    """An event that waited for its turn has failed in it."""
    conn.execute("UPDATE parked_events SET reason = %s, error = %s WHERE id = %s", (reason, storable(error), parked_id))


def _parked(row: tuple[Any, ...]) -> Parked:
    headers = tuple((unquote_to_bytes(name).decode(), _unquoted(value)) for name, value in row[7])
    return Parked(
        id=row[0],
        place=Place(consumer=row[1], topic=row[2], key=row[3]),
        sequence=row[4],
        reason=row[9],
        error=row[10],
        parked_at=row[11],
        tries=row[12],
        record=Record(
            topic=row[2], partition=row[5], offset=row[6], key=row[3].encode(), headers=headers, value=row[8]
        ),
    )
