"""Events in: one row per (consumer, topic, key) says what comes next, and whether the key is held."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

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


def lock(conn: Conn, place: Place) -> tuple[int, uuid.UUID | None, str | None]:
    """Lock the row, making it if need be; its last sequence, last event id, and why the key is held, if it is."""
    row = conn.execute(
        """INSERT INTO inbox (consumer, topic, key, last_sequence) VALUES (%s, %s, %s, 0)
           ON CONFLICT (consumer, topic, key) DO UPDATE SET last_sequence = inbox.last_sequence
           RETURNING last_sequence, last_event_id, held_reason""",
        place.columns,
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def judge(conn: Conn, place: Place, sequence: int, event_id: uuid.UUID) -> Verdict:
    """Lock the key's row and say what to do with this event."""
    last, last_id, held = lock(conn, place)
    if sequence == last and last_id is not None and last_id != event_id:
        return Verdict.CONFLICT  # a restored writer has counted twice
    if sequence <= last:
        return Verdict.SEEN
    if held is not None and (parked := _parked_id(conn, place, sequence)) is not None:
        return Verdict.PARKED if parked == str(event_id) else Verdict.CONFLICT
    if sequence != last + 1 or held == CONFLICT:
        return Verdict.WAIT  # a gap heals by itself, a conflict does not: what follows it waits for a person
    return Verdict.APPLY if held is None else Verdict.APPLY_AND_DRAIN


def advance(conn: Conn, place: Place, sequence: int, event_id: uuid.UUID) -> None:
    """Record that this event has been applied; call it under the row's lock."""
    changed = conn.execute(
        """UPDATE inbox SET last_sequence = %s, last_event_id = %s
           WHERE consumer = %s AND topic = %s AND key = %s AND last_sequence = %s - 1""",
        (sequence, event_id, *place.columns, sequence),
    ).rowcount
    if changed != 1:
        raise AssertionError(f"inbox of {place.columns} moved under its own lock")


def hold(conn: Conn, place: Place, reason: str, now: datetime) -> None:
    """Hold the key; the first reason stays until the hold ends."""
    conn.execute(
        """UPDATE inbox SET held_since = COALESCE(held_since, %s), held_reason = COALESCE(held_reason, %s)
           WHERE consumer = %s AND topic = %s AND key = %s""",
        (now, reason, *place.columns),
    )


def release_if_drained(conn: Conn, place: Place) -> None:
    """End the hold in the transaction in which the last parked event went."""
    conn.execute(
        """UPDATE inbox SET held_since = NULL, held_reason = NULL
           WHERE consumer = %(consumer)s AND topic = %(topic)s AND key = %(key)s AND held_since IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM parked_events AS p WHERE (p.sequence IS NOT NULL OR p.reason = 'conflict')
               AND p.consumer = %(consumer)s AND p.topic = %(topic)s AND p.key = %(key)s)""",
        {"consumer": place.consumer, "topic": place.topic, "key": place.key},
    )


def _parked_id(conn: Conn, place: Place, sequence: int) -> str | None:
    """The id of the parked event with this number, empty if it carries none that can be read; None without one."""
    row = conn.execute(
        """SELECT COALESCE((SELECT h ->> 1 FROM jsonb_array_elements(headers) AS h WHERE h ->> 0 = 'ce_id' LIMIT 1), '')
           FROM parked_events WHERE consumer = %s AND topic = %s AND key = %s AND sequence = %s""",
        (*place.columns, sequence),
    ).fetchone()
    return None if row is None else str(row[0])
