"""Events in: one row per (consumer, topic, key) says what comes next, and whether the key is held."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final, NamedTuple

from shared.db import Conn
from shared.events.base import Envelope


class Verdict(Enum):
    """What the inbox says of an event."""

    APPLY = auto()
    APPLY_AND_DRAIN = auto()
    SEEN = auto()
    WAIT = auto()
    PARKED = auto()
    CONFLICT = auto()


@dataclass(frozen=True, kw_only=True)
class Place:
    """The (consumer, topic, key) an event belongs to."""

    consumer: str
    topic: str
    key: str

    @classmethod
    def of(cls, consumer: str, envelope: Envelope) -> "Place":
        """The place of one event."""
        return cls(consumer=consumer, topic=envelope.topic, key=envelope.subject)

    @property
    def columns(self) -> tuple[str, str, str]:
        """In the order of the primary key."""
        return (self.consumer, self.topic, self.key)


CONFLICT: Final = "conflict"
# Of so many last numbers of a key the ids are remembered. A failover loses seconds of a renewal, a restore hours.
KEPT_IDS: Final = 256


class Row(NamedTuple):
    """A key's row: its last sequence and event id, why it is held, and the id that was applied under a given number.

    That last one is None if the number was not applied yet, or longer ago than ids are remembered.
    """

    last: int
    last_id: uuid.UUID | None
    held: str | None
    known_id: uuid.UUID | None


def lock(conn: Conn, place: Place, sequence: int = 0) -> Row:
    """Lock the key's row, making it if need be."""
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
    """Lock the key's row and say what to do with this event."""
    last, _, held, known_id = lock(conn, place, sequence)
    parked = [] if held is None else _parked_ids(conn, place, sequence)
    if str(event_id) in parked:
        return Verdict.PARKED
    if known_id is not None and known_id != event_id:
        return Verdict.CONFLICT  # a restored writer, or one that was ahead at a failover, has counted twice
    if sequence <= last:
        return Verdict.SEEN
    if parked:
        return Verdict.CONFLICT
    if sequence != last + 1 or held == CONFLICT:
        return Verdict.WAIT  # a gap heals by itself, a conflict does not: what follows it waits for a person
    return Verdict.APPLY if held is None else Verdict.APPLY_AND_DRAIN


def advance(conn: Conn, place: Place, sequence: int, event_id: uuid.UUID) -> None:
    """Record that this event has been applied; call it under the row's lock."""
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
        raise AssertionError(f"inbox of {place.columns} moved under its own lock")


def renew_hold(conn: Conn, place: Place, now: datetime) -> None:
    """Hold the key as long as something of it is parked, for the reason of what comes next; else end the hold.

    Call it in the transaction in which an event was parked or went.
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


def _parked_ids(conn: Conn, place: Place, sequence: int) -> list[str]:
    """The ids of the parked events with this number; empty of one whose id cannot be read."""
    rows = conn.execute(
        """SELECT COALESCE((SELECT h ->> 1 FROM jsonb_array_elements(headers) AS h WHERE h ->> 0 = 'ce_id' LIMIT 1), '')
           FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s""",
        (*place.columns, sequence),
    ).fetchall()
    return [str(row[0]) for row in rows]
