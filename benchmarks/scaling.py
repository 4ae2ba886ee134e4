"""Benchmark of several consumers of one service, and of what limits them."""

import contextlib
import time
from typing import Final

import psutil

from benchmarks.engines import Engines
from benchmarks.figures import Figure
from benchmarks.loops import READER, WRITER, emptying, relaying, started
from benchmarks.throughput import count, fill
from shared import db
from shared.db import Pool

MEMBERS: Final = (1, 2, 3)
# Two handlers: as fast as possible, and with a database in another zone. Each with its share of the events, its wait in
# seconds, and the suffix of its figures.
GROUP: Final = "throughput, more consumers of one service"
KINDS: Final = {"": (1.0, 0.0), ", waiting": (0.15, 0.005)}
# Share of the run at which the measurement ends: at both ends partitions are assigned, or some members are idle.
UNTIL: Final = 0.8
SETTLING_SECONDS: Final = 0.5
SEEN: Final = "SELECT COALESCE(sum(last_sequence), 0) FROM inbox"
PROCESSORS: Final = psutil.cpu_count() or 1
PARTS: Final = {"postgres": "PostgreSQL", "java": "Kafka"}


def measure(engines: Engines, *, events: int) -> list[Figure]:
    """Fill the topic and let the members empty it, for each number of members; then with handlers that wait 5 ms."""
    return [
        figure
        for kind, (share, wait) in KINDS.items()
        for members in MEMBERS
        for figure in _together(engines, kind, members, int(events * share) * members, wait)
    ]


def _together(engines: Engines, kind: str, members: int, events: int, wait: float) -> list[Figure]:
    with db.open_pool(engines.urls[WRITER], name="writer") as pool:
        fill(pool, events)
        with started(relaying, engines):
            _reached(pool, "SELECT -count(*) FROM outbox WHERE sent_at IS NULL", 0)
    with db.open_pool(engines.urls[READER], name="reader") as pool, contextlib.ExitStack() as running:
        before = count(pool, SEEN)
        for _ in range(members):
            running.enter_context(started(emptying, engines, wait))
        time.sleep(SETTLING_SECONDS)
        psutil.cpu_percent()
        begun, done, used = time.monotonic(), count(pool, SEEN), _cpu()
        last = _reached(pool, SEEN, before + int(events * UNTIL))
        seconds, after, all_busy = time.monotonic() - begun, _cpu(), psutil.cpu_percent() / 100 * PROCESSORS
        _reached(pool, SEEN, before + events)
    name = f"{members} consumer{'s' if members > 1 else ''}{kind}"
    figures = [Figure(group=GROUP, name=name, value=(last - done) / seconds, unit="/s")]
    busy = {part: (value - used[part]) / seconds for part, value in sorted(after.items())} | {"anything": all_busy}
    for part, processors in busy.items():
        of = f"{name}: processors busy with {part}"
        figures.append(Figure(group=GROUP, name=of, value=processors, unit=f"of {PROCESSORS}"))
    return figures


def _cpu() -> dict[str, float]:
    """Return processor seconds by kind of child process."""
    used = dict.fromkeys((*PARTS.values(), "the consumers"), 0.0)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used[PARTS.get(process.name(), "the consumers")] += sum(process.cpu_times()[:2])
    return used


def _reached(pool: Pool, query: str, wanted: int) -> int:
    """Return the query's number as soon as it reaches `wanted`."""
    while (now := count(pool, query)) < wanted:
        time.sleep(0.05)
    return now
