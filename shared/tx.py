"""One transaction, and what a handler may not invent for itself: the time, fresh ids, what caused it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.db import Conn, Pool
from shared.events.base import Envelope
from shared.observability import tracing

Clock = Callable[[], datetime]
NewId = Callable[[], uuid.UUID]


def utc_now() -> datetime:
    """The time now, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Tx:
    """Handed to every handler. Whoever made it commits; a handler never does.

    `event` is what an event's handler is called for, as it travelled.
    """

    conn: Conn
    now: datetime
    new_id: NewId = uuid.uuid4
    causation_id: str | None = None
    traceparent: str | None = None
    event: Envelope | None = None


@contextmanager
def transaction(pool: Pool, *, clock: Clock = utc_now, new_id: NewId = uuid.uuid4) -> Iterator[Tx]:
    """A transaction of its own, for a work loop or a command; in the trace of the span that is open, if one is."""
    with pool.connection() as conn, conn.transaction():
        yield Tx(conn=conn, now=clock(), new_id=new_id, traceparent=tracing.current())
