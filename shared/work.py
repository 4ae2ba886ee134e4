"""The loop that takes due rows to the outside world, one at a time and each with its own outcome."""

from collections.abc import Callable, Sequence
from typing import Final

import psycopg
import structlog
from prometheus_client import Counter

from shared.consumer import Stop
from shared.errors import Unavailable

log = structlog.get_logger()

SHORTEST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
AFTER_FAILURE_SECONDS: Final = 1.0

DONE = Counter("work_done_total", "Due rows worked", ["task"])
FAILED = Counter("work_failed_total", "Turns that ended in an error", ["task", "error"])

Task = Callable[[], bool]


def run_tasks(tasks: Sequence[tuple[str, Task]], stop: Stop) -> None:
    """Turn through the tasks until told to stop; each says whether there was a row.

    A task that raises is tried again later: its row's lease (`due_at`) lies in the future by then, so one bad
    row stops neither the other rows nor the other tasks.
    """
    pause = SHORTEST_SECONDS
    while not stop.is_set():
        stop.beat()
        outcomes = [_turn(name, task) for name, task in tasks]
        if any(outcome is None for outcome in outcomes):
            stop.wait(AFTER_FAILURE_SECONDS)
        elif any(outcomes):
            pause = SHORTEST_SECONDS
        else:
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_SECONDS)


def _turn(name: str, task: Task) -> bool | None:
    try:
        worked = task()
    except (psycopg.OperationalError, Unavailable) as error:
        log.warning("work.unavailable", task=name, error=f"{type(error).__name__}: {error}")
        FAILED.labels(name, type(error).__name__).inc()
        return None
    except Exception as error:  # a fault of ours in one row: said aloud, and the other rows go on
        log.error("work.failed", task=name, exc_info=True)
        FAILED.labels(name, type(error).__name__).inc()
        return None
    if worked:
        DONE.labels(name).inc()
    return worked
