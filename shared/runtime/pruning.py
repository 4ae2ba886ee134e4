"""Pruning: deletes or blanks rows at the end of their retention, in small batches, by one process at a time.

`docs/data.md` lists the retention; a test compares the two.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, LiteralString

from prometheus_client import Counter

from shared.db import Conn, Pool
from shared.runtime.task_loop import Task
from shared.tx import Clock, transaction, utc_now

BATCH: Final = 500
INTERVAL_SECONDS: Final = 5.0
# One pruner per database: any number, the same in every release.
_LOCK: Final = 0x7072_756E

PRUNED = Counter("pruned_rows_total", "Rows deleted or blanked at the end of their retention", ["table"])


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rows to prune of one table. `keep` is a dated policy: retention by first day.

    The statement's parameters are `before`, `limit` and `now`; the rows that it affects, or returns, are counted.
    """

    table: str
    keep: tuple[tuple[date, timedelta], ...]
    statement: LiteralString

    def kept_for(self, today: date) -> timedelta:
        """Return the retention under the policy of this day."""
        return max((since, kept) for since, kept in self.keep if since <= today)[1]


# Longest time between two events about a renewal: the life of a certificate (398 days, then it may be revoked), the
# retention of topics (30), the longest replay (30, from the oldest backup), and a margin.
INBOX: Final = Rule(
    table="inbox",
    keep=((date(2026, 1, 1), timedelta(days=731)),),
    statement="""DELETE FROM inbox WHERE (consumer, topic, key) IN (
                   SELECT consumer, topic, key FROM inbox
                   WHERE advanced_on < %(before)s::date AND held_since IS NULL
                   ORDER BY advanced_on LIMIT %(limit)s FOR UPDATE SKIP LOCKED)""",
)
IDEMPOTENCY: Final = Rule(
    table="idempotency_keys",
    keep=((date(2026, 1, 1), timedelta(days=30)),),
    statement="""DELETE FROM idempotency_keys WHERE (account, key) IN (
                   SELECT account, key FROM idempotency_keys WHERE created_at < %(before)s
                   ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)""",
)
OF_EVERY_DATABASE: Final = (INBOX, IDEMPOTENCY)


def pruner(pool: Pool, rules: Sequence[Rule], *, every: float = INTERVAL_SECONDS, clock: Clock = utc_now) -> Task:
    """Return a task that prunes one batch of one rule every few seconds, in turn; it never counts as work done."""
    due, turn = time.monotonic(), 0

    def prune() -> bool:
        nonlocal due, turn
        if rules and time.monotonic() >= due:
            due = time.monotonic() + every
            if prune_batch(pool, rules[turn % len(rules)], clock=clock) < BATCH:
                turn += 1
        return False

    return prune


def prune_batch(pool: Pool, rule: Rule, *, clock: Clock = utc_now, limit: int = BATCH) -> int:
    """Prune at most `limit` rows. Returns their number."""
    with transaction(pool, clock=clock) as tx:
        if not _take_lock(tx.conn):
            return 0
        before: datetime = tx.now - rule.kept_for(tx.now.date())
        count = tx.conn.execute(rule.statement, {"before": before, "limit": limit, "now": tx.now}).rowcount
    if count:
        PRUNED.labels(rule.table).inc(count)
    return count


def _take_lock(conn: Conn) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
    return row is not None and bool(row[0])
