"""The loop that takes due rows to the outside world, one at a time and each with its own outcome."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from shared.db import UNAVAILABLE
from shared.process import Stop

log = structlog.get_logger()

SHORTEST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
AFTER_FAILURE_SECONDS: Final = 1.0

DONE = Counter("work_done_total", "Due rows worked", ["task"])
FAILED = Counter("work_failed_total", "Turns that ended in an error", ["task", "error"])

Task = Callable[[], bool]


def run_tasks(tasks: Sequence[tuple[str, Task]], stop: Stop) -> None:
    """Turn through the tasks until told to stop; each says whether there was a row.

    A task that raises rests while the others go on. Its row's lease (`due_at`) lies in the future by then, so one
    bad row stops neither the other rows nor the other tasks.
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
    except UNAVAILABLE as error:
        log.warning("work.unavailable", task=name, error=f"{type(error).__name__}: {error}")
        FAILED.labels(name, type(error).__name__).inc()
        return None
    except Exception as error:  # a fault of ours in one row: said aloud, and the other rows go on
        log.error("work.failed", task=name, exc_info=True)
        FAILED.labels(name, type(error).__name__).inc()
        return None
    if worked:
        DONE.labels(name).inc()
        log.debug("work.done", task=name)
    return worked
