"""Transaction with what a handler must not create itself: the time, new ids, and the cause."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.db import Conn, Pool
from shared.events.base import Envelope
from shared.observability import tracing

Clock = Callable[[], datetime]
NewId = Callable[[], uuid.UUID]


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Tx:
    """Transaction context of a handler. Its owner commits; a handler never does.

    `event` is the envelope of the event that is handled.
    """

    conn: Conn
    now: datetime
    new_id: NewId = uuid.uuid4
    causation_id: str | None = None
    traceparent: str | None = None
    event: Envelope | None = None


# Opens one of several transactions of a use case that waits for something slow in between.
Begin = Callable[[], AbstractContextManager[Tx]]


@contextmanager
def transaction(pool: Pool, *, clock: Clock = utc_now, new_id: NewId = uuid.uuid4) -> Iterator[Tx]:
    """Yield a transaction for a task or a command, in the trace of the open span, if there is one."""
    with pool.connection() as conn, conn.transaction():
        yield Tx(conn=conn, now=clock(), new_id=new_id, traceparent=tracing.current())
