"""Held events: stored completely, applied in sequence, redriven or skipped by an operator."""

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
from shared.messaging.inbox import CONFLICT, Place
from shared.messaging.record import Record

GAP: Final = "gap"
WAITING: Final = "waiting"
NO_SEQUENCE: Final = "no-sequence"
_MAX_KEY_LENGTH: Final = 200
# Characters of a header that stay readable in the table; others are percent-encoded, since PostgreSQL cannot store
# every byte.
_READABLE: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


class HeldEventNotFound(Refused):
    """No such held event exists."""

    reason = "not-parked"


@dataclass(frozen=True, kw_only=True)
class HeldEvent:
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
        """Whether the event only waits for an earlier one, and has not failed."""
        return self.reason == GAP

    @property
    def event_id(self) -> uuid.UUID | None:
        """The event's id, if it can be read."""
        given = [value for name, value in self.record.headers if name == "ce_id" and value is not None]
        try:
            return uuid.UUID(given[0].decode()) if given else None
        except ValueError:
            return None

    @property
    def cursor(self) -> "Cursor":
        """The cursor of the page after this event."""
        return self.place.topic, self.place.key, self.sequence or 0, self.id

    @property
    def at(self) -> str:
        """Partition and offset, as PARTITION/OFFSET."""
        return f"{self.record.partition}/{self.record.offset}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names for operators. Only `name` is unique: offsets begin again if a topic is re-created."""
        return (self.name, self.at) if self.event_id is None else (self.name, self.at, str(self.event_id))

    @property
    def name(self) -> str:
        """The unique name of this held event."""
        return f"#{self.id}"


def _hash(headers: Sequence[Sequence[str | None]], value: bytes | None) -> str:
    """Return the identity of an undecodable record: a hash over headers and data."""
    raw = json.dumps(headers).encode() + (b"" if value is None else b"\0" + value)
    return f"sha256 {hashlib.sha256(raw).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The event to hold and the reason. An undecodable event has no id, and perhaps no sequence number."""

    place: Place
    sequence: int | None
    event_id: uuid.UUID | None
    reason: str
    error: str
    # Time of the retry, for a waiting event.
    retry_at: datetime | None = None


def hold(conn: Conn, held: Held, record: Record, *, now: datetime, code_version: str) -> bool:
    """Store a held event. Returns False if the same event is held already.

    Raises UniqueViolation if another event prevents it from being stored: no event is lost silently.
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
    """Return a message in a form that PostgreSQL can store, truncated."""
    return text[:2000].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def key_of(raw: bytes | None) -> str:
    """Return a record's key as text, whatever bytes it has; a key too long for an index becomes its beginning and a
    hash.
    """
    text = storable((raw or b"").decode("utf-8", "backslashreplace"))
    if len(raw or b"") <= _MAX_KEY_LENGTH:
        return text
    return f"{text[:40]}… sha256 {hashlib.sha256(raw or b'').hexdigest()}"


def _quoted(raw: bytes | None) -> str | None:
    return None if raw is None else quote_from_bytes(raw, safe=_READABLE)


def _unquoted(text: str | None) -> bytes | None:
    return None if text is None else unquote_to_bytes(text)


_COLUMNS = 'id, consumer, topic, key, sequence, "partition", "offset", headers, value, reason, error, parked_at, tries'


def find_next(conn: Conn, place: Place, sequence: int) -> HeldEvent | None:
    """Return the held event with this sequence number, unless another event claims the number, too."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events
            WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s AND reason <> %s""",
        (*place.columns, sequence, CONFLICT),
    ).fetchone()
    return None if row is None else _held_event(row)


def find_due(conn: Conn, consumer: str, now: datetime) -> HeldEvent | None:
    """Return the consumer's waiting event whose retry is due first, if any."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND reason = 'waiting' AND retry_at <= %s
            ORDER BY retry_at, id LIMIT 1""",
        (consumer, now),
    ).fetchone()
    return None if row is None else _held_event(row)


def wait_until(conn: Conn, held_event: HeldEvent, error: str, retry_at: datetime) -> None:
    """Schedule the next retry of a waiting event, unless it was applied or retried meanwhile."""
    conn.execute(
        """UPDATE parked_events SET reason = %s, error = %s, tries = tries + 1, retry_at = %s
           WHERE id = %s AND tries = %s AND reason = %s""",
        (WAITING, storable(error), retry_at, held_event.id, held_event.tries, held_event.reason),
    )


def has_number(conn: Conn, place: Place, sequence: int) -> bool:
    """Return whether any event with this sequence number is held."""
    row = conn.execute(
        "SELECT 1 FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s LIMIT 1",
        (*place.columns, sequence),
    ).fetchone()
    return row is not None


def find_of_key(conn: Conn, place: Place) -> list[HeldEvent]:
    """Return all held events of one key, in their order."""
    rows = conn.execute(
        f"""SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s
            ORDER BY sequence NULLS LAST, id""",
        place.columns,
    ).fetchall()
    return [_held_event(row) for row in rows]


def contest(conn: Conn, place: Place, sequence: int) -> None:
    """Mark the events held with this number as conflicting: another event claims it, and a person must decide."""
    conn.execute(
        """UPDATE parked_events SET reason = %s, error = reason || ': ' || error
           WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s AND reason <> %s""",
        (CONFLICT, *place.columns, sequence, CONFLICT),
    )


def find(conn: Conn, consumer: str, parked_id: int) -> HeldEvent:
    """Return a held event of a consumer. Raises HeldEventNotFound."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM parked_events WHERE consumer = %s AND id = %s", (consumer, parked_id)
    ).fetchone()
    if row is None:
        raise HeldEventNotFound("no such held event exists (any more)")
    return _held_event(row)


# Beginning of a page of held events: after this topic, key, sequence and id.
Cursor = tuple[str, str, int, int]
FIRST: Final[Cursor] = ("", "", 0, 0)


def list_page(conn: Conn, *, consumer: str, after: Cursor, limit: int, with_data: bool = True) -> list[HeldEvent]:
    """Return a page of a consumer's held events by topic, key and sequence, optionally without their data."""
    columns = _COLUMNS if with_data else _COLUMNS.replace(" value,", " NULL::bytea,")
    rows = conn.execute(
        f"""SELECT {columns} FROM parked_events
            WHERE consumer = %s AND (topic, key, COALESCE(sequence, 0), id) > (%s, %s, %s, %s)
            ORDER BY topic, key, COALESCE(sequence, 0), id LIMIT %s""",
        (consumer, *after, limit),
    ).fetchall()
    return [_held_event(row) for row in rows]


def list_held_events(conn: Conn, *, consumer: str, page: int = 500) -> Iterator[HeldEvent]:
    """Yield all held events of a consumer by topic, key and sequence, read page by page."""
    after = FIRST
    while found := list_page(conn, consumer=consumer, after=after, limit=page):
        yield from found
        after = found[-1].cursor


def remove(conn: Conn, parked_id: int) -> None:
    """Delete an event that was applied or skipped."""
    conn.execute("DELETE FROM parked_events WHERE id = %s", (parked_id,))


def give_reason(conn: Conn, parked_id: int, reason: str, error: str) -> None:
    """Record that an event that waited for its turn has failed."""
    conn.execute("UPDATE parked_events SET reason = %s, error = %s WHERE id = %s", (reason, storable(error), parked_id))


def _held_event(row: tuple[Any, ...]) -> HeldEvent:
    headers = tuple((unquote_to_bytes(name).decode(), _unquoted(value)) for name, value in row[7])
    return HeldEvent(
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
