"""Outbox: the event's row in the transaction of the change; `shared/messaging/relay.py` sends it to Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from shared.db import Conn
from shared.errors import Refused
from shared.events.base import Envelope, Event, Topic
from shared.messaging import codec
from shared.tx import Tx

MAX_DATA_BYTES: Final = 900_000
# An event's columns, in the order that `envelope_of` expects.
ENVELOPE: Final = (
    "event_id, topic, key, sequence, type, source, time, data, dataschema, traceparent, causation_id, "
    "position, signature"
)


class EventTooLarge(Refused):
    """The event's data exceeds MAX_DATA_BYTES; raised at the insert, so the change is rolled back."""

    reason = "event-too-large"


def add(tx: Tx, event: Event) -> Envelope:
    """Announce an event in this transaction. Lock the aggregate's row first.

    Raises EventTooLarge, or Undecodable for data that the event's own schema refuses.
    """
    data = codec.encode_data(event)
    if len(data) > MAX_DATA_BYTES:
        raise EventTooLarge(f"{event.TYPE}: {len(data)} bytes")
    envelope = Envelope(
        id=tx.new_id(),
        source=f"/{event.TOPIC.partition('.')[0]}",
        type=event.TYPE,
        topic=event.TOPIC,
        subject=str(event.subject),
        sequence=_next_sequence(tx.conn, event.TOPIC, str(event.subject)),
        time=tx.now,
        data=data,
        dataschema=codec.schema_name(event.TYPE),
        traceparent=tx.traceparent,
        causationid=tx.causation_id,
    )
    _insert(tx.conn, envelope)
    return envelope


def _next_sequence(conn: Conn, topic: Topic, key: str) -> int:
    row = conn.execute(
        """INSERT INTO outbox_sequences (topic, key, last_sequence) VALUES (%s, %s, 1)
           ON CONFLICT (topic, key) DO UPDATE SET last_sequence = outbox_sequences.last_sequence + 1
           RETURNING last_sequence""",
        (topic, key),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _insert(conn: Conn, envelope: Envelope) -> None:
    conn.execute(
        """INSERT INTO outbox (event_id, topic, key, sequence, type, source, time, data, dataschema,
                               traceparent, causation_id)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        _columns(envelope),
    )


def reinsert(conn: Conn, envelopes: Sequence[Envelope], *, recovery_id: int) -> int:
    """Re-insert sent events that the outbox lacks. Returns the number of missing ones.

    Raises psycopg.errors.UniqueViolation if another event has the number or position of one of them.
    """
    with conn.cursor() as cursor:
        cursor.executemany(
            f"""INSERT INTO outbox ({ENVELOPE}, sent_at, recovery_id)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), %s)
                ON CONFLICT (event_id) DO NOTHING""",
            [(*_columns(envelope), envelope.position, envelope.signature, recovery_id) for envelope in envelopes],
        )
        return max(0, cursor.rowcount)


def _columns(envelope: Envelope) -> tuple[Any, ...]:
    """Return the values of the ENVELOPE columns, without position and signature."""
    return (
        envelope.id,
        envelope.topic,
        envelope.subject,
        envelope.sequence,
        envelope.type,
        envelope.source,
        envelope.time,
        envelope.data,
        envelope.dataschema,
        envelope.traceparent,
        envelope.causationid,
    )


def envelope_of(row: Sequence[Any]) -> Envelope:
    """Return the event of a row with the ENVELOPE columns."""
    return Envelope(
        id=row[0],
        topic=Topic(row[1]),
        subject=row[2],
        sequence=row[3],
        type=row[4],
        source=row[5],
        time=row[6],
        data=row[7],
        dataschema=row[8],
        traceparent=row[9],
        causationid=row[10],
        position=row[11],
        signature=row[12],
    )


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An outbox row as tests and operators read it."""

    event_id: str
    topic: str
    key: str
    sequence: int
    type: str
    sent_at: datetime | None


def stored(conn: Conn, key: str) -> list[StoredEvent]:
    """Return all events of one key, oldest first."""
    with conn.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            "SELECT event_id::text, topic, key, sequence, type, sent_at FROM outbox WHERE key = %s ORDER BY id",
            (key,),
        ).fetchall()
