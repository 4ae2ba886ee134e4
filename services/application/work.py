"""Timers: the deadlines that have passed become transitions."""

from services.application import store
from services.application.handlers import fire_timer
from shared.db import Pool
from shared.tx import Clock, transaction, utc_now


def fire_next_timer(pool: Pool, *, clock: Clock = utc_now) -> bool:
    """Fire one due timer; say whether there was one."""
    with transaction(pool, clock=clock) as tx:
        claimed = store.claim_due_timer(tx.conn, tx.now)
        if claimed is None:
            return False
        fire_timer(*claimed, tx)
    return True
