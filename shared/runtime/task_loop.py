"""Task loop: polls each background task for one due row; a failing task backs off without delaying the others."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from shared.backoff import Backoff
from shared.db import UNAVAILABLE
from shared.lifecycle import StopSignal

log = structlog.get_logger()

# While no task has a due row.
POLLING: Final = Backoff(timedelta(milliseconds=5), timedelta(milliseconds=250))
RETRY_DELAY_SECONDS: Final = 1.0
_ROW_FAILED: Final = "The claimed row waits for its own backoff; its task goes on with the next row."

DONE = Counter("work_done_total", "Task iterations that processed a due row", ["task"])
FAILED = Counter("work_failed_total", "Task iterations that failed", ["task", "error"])

Task = Callable[[], bool]
# Time to record the outcome after the call: the wait for a connection and the longest statement.
SETTLE: Final = timedelta(seconds=20)


class LeaseTooShort(Exception):
    """A lease could end while its row is being processed, so that two processes would work on it."""


def require_lease(task: str, lease: timedelta, *, calls: timedelta) -> None:
    """Check at the start that a task's lease outlasts its calls and the recording of the outcome.

    Raises LeaseTooShort.
    """
    if lease < calls + SETTLE:
        raise LeaseTooShort(f"{task}: its lease of {lease} is shorter than its calls ({calls}) and settling ({SETTLE})")


@contextmanager
def claimed() -> Iterator[None]:
    """Mark exceptions of the block as failures of one claimed row.

    The committed claim must have set the row's lease and counted its attempt: the lease is the row's backoff, so the
    task need not pause. A failure outside the block, such as of the claim itself, pauses the task.
    """
    try:
        yield
    except Exception as error:
        error.add_note(_ROW_FAILED)
        raise


def run_tasks(tasks: Sequence[tuple[str, Task]], stop: StopSignal) -> None:
    """Run the tasks in turn until stopped; each returns whether it had a row.

    A failing row (see `claimed`) delays neither other rows of its task nor other tasks. A task that cannot claim a row
    pauses for a second while the others continue.
    """
    idle = 0
    rests_until: dict[str, float] = {}
    while not stop.is_set():
        worked = False
        for name, task in tasks:
            if stop.is_set() or time.monotonic() < rests_until.get(name, 0.0):
                continue
            stop.beat()
            outcome = _turn(name, task)
            if outcome is None:
                rests_until[name] = time.monotonic() + RETRY_DELAY_SECONDS
            worked = worked or bool(outcome)
        stop.beat()
        if worked:
            idle = 0
        else:
            stop.wait(POLLING.seconds(idle))
            idle += 1


def _turn(name: str, task: Task) -> bool | None:
    try:
        worked = task()
    except Exception as error:  # logged and counted; other rows and tasks continue
        if isinstance(error, UNAVAILABLE):
            log.warning("work.unavailable", task=name, error=f"{type(error).__name__}: {error}")
        else:
            log.error("work.failed", task=name, exc_info=True)
        FAILED.labels(name, type(error).__name__).inc()
        return True if _ROW_FAILED in getattr(error, "__notes__", ()) else None
    if worked:
        DONE.labels(name).inc()
        log.debug("work.done", task=name)
    return worked
