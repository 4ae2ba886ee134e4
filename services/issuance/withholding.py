"""Cancellations that wait behind a held event: answered without it, so that each one ends and its money goes back.

A renewal's events are applied in order, and one that cannot be (proofs that do not hold, for one) holds those behind it
until a person decides. A cancellation need not wait for that: the tombstone is the same whatever the earlier events
say, and once it stands they change nothing. Applied later in its turn, the cancellation is answered the same again.
"""

import time
from datetime import timedelta
from typing import Final

import structlog

from services.issuance import certificate_store, handlers, store
from shared import audit
from shared.db import Pool
from shared.events.application import CancellationRequested
from shared.runtime.task_loop import Task
from shared.tx import Clock, transaction, utc_now

log = structlog.get_logger()

EVERY_SECONDS: Final = 15.0
# A gap heals by itself within seconds; what waits for longer waits for a person.
WAITS: Final = timedelta(minutes=1)


def answerer(pool: Pool, *, every: float = EVERY_SECONDS, clock: Clock = utc_now) -> Task:
    """Return a task that looks every few seconds for cancellations that wait, and answers one each turn."""
    due = time.monotonic()

    def answer() -> bool:
        nonlocal due
        if time.monotonic() < due:
            return False
        worked = answer_next(pool, clock=clock)
        if not worked:
            due = time.monotonic() + every
        return worked

    return answer


def answer_next(pool: Pool, *, clock: Clock = utc_now) -> bool:
    """Withhold one renewal whose cancellation waits behind a held event; say whether there was one.

    Not if anything of it is signed or will be: then the answer is no tombstone, and its place in the order matters.
    """
    with transaction(pool, clock=clock) as tx:
        renewal_id = store.find_waiting_cancellation(tx.conn, tx.now - WAITS)
        if renewal_id is None:
            return False
        store.lock_gate(tx.conn, renewal_id)
        if certificate_store.has_intent(tx.conn, renewal_id):
            return False
        handlers.withhold(tx, CancellationRequested(renewal_id=renewal_id))
        audit.record(tx, actor="issuance", action="cancellation-answered-while-held", subject=str(renewal_id))
    log.warning("cancellation.answered_while_held", renewal_id=str(renewal_id))
    return True
