"""Timer task of application: turns deadlines that have passed into transitions."""

from typing import Final

from prometheus_client import Gauge

from services.application import store
from services.application.course import pass_deadline
from shared.db import Pool
from shared.runtime.task_loop import claimed
from shared.tx import Clock, transaction, utc_now

OPEN: Final = Gauge("renewals_open", "Open submitted renewals by state", ["state"])


def fire_next_timer(pool: Pool, *, clock: Clock = utc_now) -> bool:
    """Fire one due timer. Returns whether there was one.

    A renewal that is locked is left to the next attempt: its change may replace the timer, too.
    """
    with transaction(pool, clock=clock) as tx:
        renewal_id = store.claim_due_timer(tx.conn, tx.now)
    if renewal_id is None:
        return False
    with claimed(), transaction(pool, clock=clock) as tx:
        renewal = store.lock_renewal(tx.conn, renewal_id, skip_locked=True)
        if renewal is not None and store.take_timer(tx.conn, renewal, tx.now):
            pass_deadline(tx, renewal)
    return True
