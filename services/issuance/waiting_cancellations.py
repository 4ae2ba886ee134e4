"""Cancellations that wait behind a held event: answered without it, so that each one ends and is refunded.

A renewal's events are applied in order, and a held one (with invalid proofs, for example) blocks later ones until a
person decides. A cancellation need not wait for that: the tombstone is the same whatever the earlier events are, and
after it they change nothing. When the cancellation is applied later, its answer is the same again.
"""

import time
from datetime import timedelta
from typing import Final

import structlog

from services.issuance import handlers, store
from shared import audit
from shared.db import Pool
from shared.events.application import CancellationRequested
from shared.runtime.task_loop import Task
from shared.tx import Clock, transaction, utc_now

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 15.0
# A gap ends by itself within seconds; anything that waits longer needs a person.
ANSWER_DELAY: Final = timedelta(minutes=1)


def answerer(pool: Pool, *, every: float = INTERVAL_SECONDS, clock: Clock = utc_now) -> Task:
    """Return a task that looks for waiting cancellations every few seconds, and answers one per iteration."""
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
    """Withhold one renewal whose cancellation waits behind a held event. Returns whether there was one.

    Never if anything of it is signed or will be: then the answer is no tombstone, and its place in the order matters.
    """
    with transaction(pool, clock=clock) as tx:
        renewal_id = store.find_waiting_cancellation(tx.conn, tx.now - ANSWER_DELAY)
        if renewal_id is None:
            return False
        store.lock_gate(tx.conn, renewal_id)
        if store.has_intent(tx.conn, renewal_id):
            return False
        handlers.on_cancellation_requested(tx, CancellationRequested(renewal_id=renewal_id))
        audit.record(tx, actor="issuance", action="cancellation-answered-while-held", subject=str(renewal_id))
    log.warning("cancellation.answered_while_held", renewal_id=str(renewal_id))
    return True
