"""Timers: the deadlines that have passed become transitions."""

from typing import Final

from prometheus_client import Gauge

from services.application import store
from services.application.course import pass_deadline
from shared.db import Pool
from shared.tx import Clock, transaction, utc_now

OPEN: Final = Gauge("renewals_open", "Submitted renewals that have not ended, by state", ["state"])


def fire_next_timer(pool: Pool, *, clock: Clock = utc_now) -> bool:
    """Fire one due timer; say whether there was one."""
    with transaction(pool, clock=clock) as tx:
        renewal = store.lock_due(tx.conn, tx.now)
        if renewal is None:
            return False
        if store.take_timer(tx.conn, renewal, tx.now):
            pass_deadline(renewal, tx)
    return True
