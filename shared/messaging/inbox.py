"""Inbox: a row per (consumer, topic, key) with the last sequence number applied, and the hold of the key."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final, NamedTuple

from shared.db import Conn
from shared.events.base import Envelope


class Verdict(Enum):
    """Decisions of the inbox about an event."""

    APPLY = auto()
    APPLY_AND_DRAIN = auto()
    SEEN = auto()
    WAIT = auto()
    ALREADY_HELD = auto()
    CONFLICT = auto()


@dataclass(frozen=True, kw_only=True)
class Place:
    """The (consumer, topic, key) of an event."""

    consumer: str
    topic: str
    key: str

    @classmethod
    def of(cls, consumer: str, envelope: Envelope) -> "Place":
        """Return the place of an event."""
        return cls(consumer=consumer, topic=envelope.topic, key=envelope.subject)

    @property
    def columns(self) -> tuple[str, str, str]:
        """The columns in the order of the primary key."""
        return (self.consumer, self.topic, self.key)


CONFLICT: Final = "conflict"
# Number of a key's last event ids that are kept. A failover loses seconds of a renewal, a restore hours.
KEPT_IDS: Final = 256


class Row(NamedTuple):
    """A key's row: last sequence and event id, reason of a hold, and the id that was applied under a given number.

    The latter is None if the number was not applied yet, or longer ago than ids are kept.
    """

    last: int
    last_id: uuid.UUID | None
    held: str | None
    known_id: uuid.UUID | None


def lock(conn: Conn, place: Place, sequence: int = 0) -> Row:
    """Lock the key's row, creating it if needed."""
    row = conn.execute(
        """INSERT INTO inbox (consumer, topic, key, last_sequence) VALUES (%(consumer)s, %(topic)s, %(key)s, 0)
           ON CONFLICT (consumer, topic, key) DO UPDATE SET last_sequence = inbox.last_sequence
           RETURNING last_sequence, last_event_id, held_reason, CASE
               WHEN %(sequence)s = last_sequence THEN last_event_id
               WHEN %(sequence)s BETWEEN last_sequence - %(kept)s AND last_sequence
                    AND event_ids[cardinality(event_ids)] = last_event_id
               THEN event_ids[(cardinality(event_ids) + %(sequence)s - last_sequence)::integer] END""",
        {**vars(place), "sequence": sequence, "kept": KEPT_IDS},
    ).fetchone()
    assert row is not None
    return Row(*row)


def judge(conn: Conn, place: Place, sequence: int, event_id: uuid.UUID) -> Verdict:
    """Lock the key's row and decide what to do with this event."""
    last, _, held, known_id = lock(conn, place, sequence)
    held_event = [] if held is None else _held_ids(conn, place, sequence)
    if str(event_id) in held_event:
        return Verdict.ALREADY_HELD
    if known_id is not None and known_id != event_id:
        return Verdict.CONFLICT  # a writer that was restored, or ahead of the failover, has reused a number
    if sequence <= last:
        return Verdict.SEEN
    if held_event:
        return Verdict.CONFLICT
    if sequence != last + 1 or held == CONFLICT:
        return Verdict.WAIT  # a gap ends by itself, a conflict does not: a person must decide before later events
    return Verdict.APPLY if held is None else Verdict.APPLY_AND_DRAIN


def advance(conn: Conn, place: Place, sequence: int, event_id: uuid.UUID) -> None:
    """Record that this event is applied; call it under the row's lock."""
    changed = conn.execute(
        """UPDATE inbox SET advanced_on = CURRENT_DATE, last_sequence = %(sequence)s, last_event_id = %(id)s,
                  event_ids = CASE
               WHEN event_ids[cardinality(event_ids)] IS NOT DISTINCT FROM last_event_id
               THEN event_ids[cardinality(event_ids) - %(kept)s + 2 :]
               ELSE ARRAY[last_event_id] END || %(id)s::uuid
           WHERE consumer = %(consumer)s AND topic = %(topic)s AND key = %(key)s
                 AND last_sequence = %(sequence)s - 1""",
        {**vars(place), "sequence": sequence, "id": event_id, "kept": KEPT_IDS},
    ).rowcount
    if changed != 1:
        raise AssertionError(f"inbox of {place.columns} changed under its own lock")


def renew_hold(conn: Conn, place: Place, now: datetime) -> None:
    """Hold the key as long as an event of it is held, with the reason of the next one; else end the hold.

    Call it in the transaction in which an event was held or removed.
    """
    conn.execute(
        """UPDATE inbox SET
               held_since = CASE WHEN first.reason IS NOT NULL THEN COALESCE(held_since, %(now)s) END,
               held_reason = first.reason
           FROM (SELECT (array_agg(reason ORDER BY reason <> 'conflict', sequence))[1] AS reason FROM parked_events
                 WHERE consumer = %(consumer)s AND topic = %(topic)s AND key = %(key)s AND sequence IS NOT NULL
                ) AS first
           WHERE consumer = %(consumer)s AND topic = %(topic)s AND key = %(key)s""",
        {"now": now, "consumer": place.consumer, "topic": place.topic, "key": place.key},
    )


def _held_ids(conn: Conn, place: Place, sequence: int) -> list[str]:
    """Return the ids of the events held with this number; empty for an unreadable id."""
    rows = conn.execute(
        """SELECT COALESCE((SELECT h ->> 1 FROM jsonb_array_elements(headers) AS h WHERE h ->> 0 = 'ce_id' LIMIT 1), '')
           FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s""",
        (*place.columns, sequence),
    ).fetchall()
    return [str(row[0]) for row in rows]
