"""The loop that takes due rows to the outside world, one at a time and each with its own outcome."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from shared.db import UNAVAILABLE
from shared.lifecycle import Stop

log = structlog.get_logger()

SHORTEST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
AFTER_FAILURE_SECONDS: Final = 1.0
_ROW_FAILED: Final = "The claimed row waits for its own backoff; its task goes on with the next row."

DONE = Counter("work_done_total", "Task iterations that processed a due row", ["task"])
FAILED = Counter("work_failed_total", "Task iterations that failed", ["task", "error"])

Task = Callable[[], bool]
# The outcome is settled after the call: the pool's wait for a connection and the longest statement.
SETTLE: Final = timedelta(seconds=20)


class LeaseTooShort(Exception):
    """A lease can end while its row is still being worked, so that two processes would work it at once."""


def require_lease(task: str, lease: timedelta, *, calls: timedelta) -> None:
    """Check at start that a task's lease outlasts the calls made under it and the settling. Raises LeaseTooShort."""
    if lease < calls + SETTLE:
        raise LeaseTooShort(f"{task}: its lease of {lease} is shorter than its calls ({calls}) and settling ({SETTLE})")


def backoff(first: timedelta, attempts: int, longest: timedelta) -> timedelta:
    """Return an exponential backoff: `first` after no earlier attempt, twice as long after each, capped."""
    return min(longest, first * (1 << min(attempts, 16)))


@contextmanager
def claimed() -> Iterator[None]:
    """Mark what is raised inside as the failure of one claimed row.

    The transaction of the claim, committed before, must have set the row's lease and counted its attempt: the lease is
    the row's backoff, so the task need not pause. What fails outside, such as the claim itself, pauses the task.
    """
    try:
        yield
    except Exception as error:
        error.add_note(_ROW_FAILED)
        raise


def run_tasks(tasks: Sequence[tuple[str, Task]], stop: Stop) -> None:
    """Turn through the tasks until told to stop; each says whether there was a row.

    A row that fails (see `claimed`) delays neither the other rows of its task nor the other tasks. A task that cannot
    even claim a row pauses for a second while the others go on.
    """
    pause = SHORTEST_SECONDS
    rests_until: dict[str, float] = {}
    while not stop.is_set():
        worked = False
        for name, task in tasks:
            if stop.is_set() or time.monotonic() < rests_until.get(name, 0.0):
                continue
            stop.beat()
            outcome = _turn(name, task)
            if outcome is None:
                rests_until[name] = time.monotonic() + AFTER_FAILURE_SECONDS
            worked = worked or bool(outcome)
        stop.beat()
        if worked:
            pause = SHORTEST_SECONDS
        else:
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_SECONDS)


def _turn(name: str, task: Task) -> bool | None:
    try:
        worked = task()
    except Exception as error:  # logged and counted, and the other rows and tasks go on
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
