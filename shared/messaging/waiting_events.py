"""Waiting events: each failed alone for a temporary reason, and is retried with exponential backoff."""

from datetime import timedelta
from typing import Final

import structlog

from shared.backoff import Backoff
from shared.db import UNAVAILABLE, Conn, Pool
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent

log = structlog.get_logger()

BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=60))
# Number of events of one key that are applied in one go; the loop polls in between.
AT_ONCE: Final = 50


def redrive_due(pool: Pool, applier: Applier) -> bool:
    """Retry the first waiting event that is due, and the events behind it. Returns whether one was due.

    Raises UNAVAILABLE.
    """
    with pool.connection() as conn:
        due = held_events.find_due(conn, applier.consumer, applier.clock())
    held_event = due
    for _ in range(AT_ONCE):
        if held_event is not None:
            held_event = _try_again(pool, applier, held_event)
    return due is not None


def _try_again(pool: Pool, applier: Applier, held_event: HeldEvent) -> HeldEvent | None:
    """Retry in a separate transaction, so that a later event's failure rolls back nothing.

    Returns the next event to retry.
    """
    try:
        with pool.connection() as conn, conn.transaction():
            follower = _redrive(conn, applier, held_event)
    except UNAVAILABLE as error:
        log.warning("waiting.failed", topic=held_event.place.topic, key=held_event.place.key, error=f"{error}")
        with pool.connection() as conn, conn.transaction():
            _wait_longer(conn, applier, held_event, f"{type(error).__name__}: {error}")
        return None
    applier.tell()
    return follower


def _redrive(conn: Conn, applier: Applier, held_event: HeldEvent) -> HeldEvent | None:
    """Redrive the event. Returns the next one, due at once; None if another process redrove or skipped it first."""
    last, now = inbox.lock(conn, held_event.place).last, applier.clock()
    current = held_events.find_next(conn, held_event.place, last + 1)
    if current is None or (current.id, current.tries, current.reason) != (
        held_event.id,
        held_event.tries,
        held_events.WAITING,
    ):
        return None
    follower = None
    if applier.redrive(conn, current):
        follower = held_events.find_next(conn, held_event.place, last + 2)
    if follower is not None and follower.redrivable:
        held_events.wait_until(conn, follower, "its turn", now)
        follower = held_events.find_next(conn, held_event.place, last + 2)
    inbox.renew_hold(conn, held_event.place, now)
    return follower


def _wait_longer(conn: Conn, applier: Applier, held_event: HeldEvent, error: str) -> None:
    inbox.lock(conn, held_event.place)
    held_events.wait_until(conn, held_event, error, applier.clock() + BACKOFF.delay(held_event.tries))
