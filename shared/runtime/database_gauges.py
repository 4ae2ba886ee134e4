"""Gauges that `work` reads from the database every few seconds: open rows, and the age of the oldest."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from prometheus_client import Gauge

from shared.db import Pool
from shared.runtime.task_loop import Task
from shared.tx import Clock, utc_now

INTERVAL_SECONDS: Final = 15.0

OLDEST_DUE: Final = Gauge("work_oldest_due_seconds", "Time since the oldest due row became due, 0 if none", ["task"])
HELD: Final = Gauge("inbox_held_keys", "Keys with held events", ["consumer", "reason"])
OLDEST_HOLD: Final = Gauge("inbox_oldest_hold_seconds", "Age of the oldest hold, 0 if none")
UNSEALED: Final = Gauge("audit_oldest_unsealed_seconds", "Age of the oldest audit row without a seal, 0 if none")
LAST_SEAL: Final = Gauge("audit_last_seal", "Number of the last audit seal; never decreases")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A gauge and its query: a row per set of label values, the number last; the only parameter is `now`."""

    gauge: Gauge
    query: LiteralString


AUDIT: Final = Reading(
    gauge=UNSEALED,
    query="""SELECT COALESCE(EXTRACT(EPOCH FROM %(now)s - min(time)), 0)::float FROM audit_log
             WHERE seal_id IS NULL""",
)
OF_EVERY_SERVICE: Final = (
    AUDIT,
    Reading(gauge=LAST_SEAL, query="SELECT COALESCE(max(id), 0) FROM audit_seals"),
    Reading(
        gauge=HELD,
        query="""SELECT consumer, held_reason, count(*) FROM inbox
                 WHERE held_since IS NOT NULL GROUP BY consumer, held_reason""",
    ),
    Reading(
        gauge=OLDEST_HOLD,
        query="""SELECT COALESCE(EXTRACT(EPOCH FROM %(now)s - min(held_since)), 0)::float FROM inbox
                 WHERE held_since IS NOT NULL""",
    ),
)


def reader(pool: Pool, readings: Sequence[Reading], *, every: float = INTERVAL_SECONDS, clock: Clock = utc_now) -> Task:
    """Return a task that updates all gauges every `every` seconds; it never counts as work done."""
    due = time.monotonic()

    def read() -> bool:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + every
            for reading in readings:
                _take(pool, reading, clock)
        return False

    return read


def _take(pool: Pool, reading: Reading, clock: Clock) -> None:
    with pool.connection() as conn:
        rows = conn.execute(reading.query, {"now": clock()}).fetchall()
    reading.gauge.clear()  # a state without rows has no row in the result
    for *labels, number in rows:
        (reading.gauge.labels(*labels) if labels else reading.gauge).set(number)
