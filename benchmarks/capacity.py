"""Capacity for a rate of renewals, computed from measurements: the tables of docs/operations.md.

`python -m benchmarks --save` writes the figures, `make docs` these tables; a test compares them.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import scaling
from benchmarks.figures import MEASURED
from deploy.kafka.topics import PARTITIONS
from deploy.postgres.roles import SERVICES

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "operations.md"
_COMPUTED: Final = re.compile(r"(<!-- computed by `make docs`: (\w+) -->\n).*?(<!-- until here -->\n)", re.DOTALL)

A_DAY: Final = (10_000, 100_000, 1_000_000, 10_000_000)
# Ratio of the busiest hour of a day to its mean.
PEAK: Final = 3
# Planned share of one processor for a pod: a Python process uses one, and the HPAs add pods at 70 %.
BUSY: Final = 0.6
# Minimum pods of each kind, as in the manifests; tests/contract/k8s/test_capacity.py compares them.
MIN_PODS: Final = {"web": 2, "feed": 2, "work": 2, "consume": 1, "relay": 2, "print": 1}
MAX_PODS: Final = {"web": 20, "feed": 6, "work": 12, "consume": PARTITIONS, "relay": 2, "print": 1}
# Maximum database connections of a pod of each kind.
POOL: Final = {"web": 10, "feed": 8}
LOOPS_POOL: Final = 4
MAX_CONNECTIONS: Final = 440
DATABASE_GIB: Final = 100
BROKER_GIB: Final = 500
KAFKA_DAYS: Final = 30
# Letters can wait for the printer: it works through the night.
UNHURRIED: Final = ("print",)
# One relay of a service works at a time, in batches as large as its backlog: measured in events a second.
ONE_AT_WORK: Final = ("relay",)
GIB: Final = 1024 * 1024  # KiB


class Measured:
    """Figures by name, each per renewal of one item unless it is a rate."""

    def __init__(self, figures: Iterable[Mapping[str, Any]]) -> None:
        self._values: dict[str, float] = {figure["name"]: figure["value"] for figure in figures}

    @classmethod
    def read(cls) -> "Measured":
        """Return the saved figures."""
        return cls(json.loads(MEASURED.read_text("utf-8")))

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def beginning(self, prefix: str) -> dict[str, float]:
        """Return all figures whose names have the prefix, without it."""
        return {name.removeprefix(prefix): value for name, value in self._values.items() if name.startswith(prefix)}

    @property
    def processors(self) -> dict[str, float]:
        """Processor seconds of each process of ours, without engines and processes that belong to no pod."""
        return {name: ms / 1000 for name, ms in self.beginning("CPU ").items() if kind_of(name) in MAX_PODS}


def kind_of(process: str) -> str:
    """Return the kind of a process: web, consume, relay, work, …"""
    return process.rpartition("-")[2]


def pods(process: str, processor_seconds: float, a_day: int) -> int:
    """Return the number of pods of this process for the busiest hour."""
    kind, mean = kind_of(process), a_day / 86_400
    rate = mean if kind in UNHURRIED else mean * PEAK
    needed = 1 if kind in ONE_AT_WORK else math.ceil(rate * processor_seconds / BUSY)
    return max(MIN_PODS[kind], needed)


def connections(measured: Measured, service: str, a_day: int) -> int:
    """Return the maximum connections of a service's pods, with one more of each process during a rollout."""
    return sum(
        (pods(process, cpu, a_day) + 1) * POOL.get(kind_of(process), LOOPS_POOL)
        for process, cpu in measured.processors.items()
        if process.startswith(f"{service}-")
    )


def tables(measured: Measured) -> str:
    """Return the measurements and the capacity tables."""
    return "\n".join((_measured(measured), _needs(measured), _pods(measured)))


def _measured(measured: Measured) -> str:
    ours, engines = measured.processors, measured.beginning("CPU ")
    rows = [
        ("processor time, our processes", f"{sum(ours.values()) * 1000:.0f} ms"),
        *((f"processor time, {name}", f"{engines[which]:.0f} ms") for which, name in _ENGINES.items()),
        ("commits that wrote", f"{measured['commits that wrote']:.0f}"),
        ("SQL round trips", f"{sum(_trips(measured).values()):.0f}"),
        ("WAL", f"{measured['WAL']:.0f} KiB"),
        ("room in the databases", f"{sum(_databases(measured).values()):.0f} KiB"),
        ("Kafka records", f"{measured['Kafka records']:.0f}"),
        ("room in Kafka, each of three copies", f"{_kafka(measured):.0f} KiB"),
    ]
    return _table(("one renewal of one item", "measured"), rows)


_ENGINES: Final = {"postgres": "PostgreSQL (six databases)", "kafka": "Kafka", "gateway": "gateway"}


def _needs(measured: Measured) -> str:
    engines = measured.beginning("CPU ")
    trips, room = _trips(measured), _databases(measured)
    busiest, fullest = max(trips, key=trips.__getitem__), max(room, key=room.__getitem__)
    relay = measured["relay: outbox → Kafka, acknowledged and marked"]

    def row(what: str, of: Any) -> tuple[str, ...]:
        return what, *(of(a_day) for a_day in A_DAY)

    def busy(milliseconds: float) -> Any:
        return lambda a_day: f"{_peak(a_day) * milliseconds / 1000:.1f}"

    def connected(a_day: int) -> str:
        most = max(connections(measured, service, a_day) for service in SERVICES)
        return _marked(str(most), most > MAX_CONNECTIONS - 20)

    def full_after(a_day: int) -> str:
        days = DATABASE_GIB * GIB / (a_day * room[fullest])
        return _marked(f"{days:,.1f}", days < KAFKA_DAYS)

    def brokers(a_day: int) -> str:
        needed = a_day * _kafka(measured) * KAFKA_DAYS / GIB
        return _marked(_size(needed * GIB), needed > BROKER_GIB)

    def events(a_day: int) -> str:
        rate = _peak(a_day) * measured["Kafka records"]
        return _marked(f"{rate:,.0f}", rate > relay)

    return _table(
        ("renewals a day", *(f"{a_day:,}" for a_day in A_DAY)),
        [
            row(f"a second, in the busiest hour ({PEAK} × the mean)", lambda a_day: f"{_peak(a_day):.1f}"),
            row(f"events a second, all topics (one relay: {relay:,.0f})", events),
            row("processors busy: our processes", busy(sum(measured.processors.values()) * 1000)),
            row("processors busy: the six primaries", busy(engines["postgres"])),
            row(
                f"… {busiest}-db, the busiest, by its share of round trips",
                busy(engines["postgres"] * trips[busiest] / sum(trips.values())),
            ),
            row("processors busy: Kafka, all brokers", busy(engines["kafka"] * 3)),
            row("processors busy: gateway", busy(engines["gateway"])),
            row(f"connections of the database with most (of {MAX_CONNECTIONS})", connected),
            row(f"partitions a topic (of {PARTITIONS})", lambda a_day: str(_partitions(measured, a_day))),
            row("databases grow, a day", lambda a_day: _size(a_day * sum(room.values()))),
            row(f"days until {fullest}-db's {DATABASE_GIB} GiB are full", full_after),
            row("WAL to the archive, a day", lambda a_day: _size(a_day * measured["WAL"])),
            row(f"Kafka, {KAFKA_DAYS} days, on each of three brokers (of {BROKER_GIB} GiB)", brokers),
        ],
    )


def _pods(measured: Measured) -> str:
    rows = []
    for process, cpu in sorted(measured.processors.items(), key=lambda each: -each[1]):
        numbers = [pods(process, cpu, a_day) for a_day in A_DAY]
        if numbers[-1] > MIN_PODS[kind_of(process)]:
            most = MAX_PODS[kind_of(process)]
            cells = (_marked(str(number), number > most) for number in numbers)
            rows.append((f"`{process}`, at most {most}", f"{cpu * 1000:.0f} ms", *cells))
    return _table(("pods, for renewals a day", "each takes", *(f"{a_day:,}" for a_day in A_DAY)), rows)


def scaled(measured: Measured) -> str:
    """Return the throughput of one, two and three consumers of a service."""
    rows = []
    for kind in scaling.KINDS:
        for members in scaling.MEMBERS:
            name = f"{members} consumer{'s' if members > 1 else ''}{kind}"
            busy = measured.beginning(f"{name}: processors busy with ")
            cells = (f"{busy[part]:.2f}" for part in ("the consumers", "PostgreSQL", "Kafka", "anything"))
            times = measured[name] / measured[f"1 consumer{kind}"]
            rows.append((name, f"{measured[name]:,.0f}", f"{times:.1f}", *cells))
    return _table(
        ("one service with", "events a second", "×", "processors: consumers", "PostgreSQL", "Kafka", "anything"), rows
    )


def _peak(a_day: int) -> float:
    return a_day / 86_400 * PEAK


def _partitions(measured: Measured, a_day: int) -> int:
    """Return the number of partitions for the consumers of one service, in dozens."""
    most = max(pods(name, cpu, a_day) for name, cpu in measured.processors.items() if kind_of(name) == "consume")
    return math.ceil(most / PARTITIONS) * PARTITIONS


def _trips(measured: Measured) -> dict[str, float]:
    return {service: measured[f"SQL round trips {service}"] for service in SERVICES}


def _databases(measured: Measured) -> dict[str, float]:
    return {service: measured[f"disk database {service}"] for service in SERVICES}


def _kafka(measured: Measured) -> float:
    return measured["disk Kafka's log, one copy"]


def _size(kib: float) -> str:
    return f"{kib / GIB:,.1f} GiB" if kib < 1000 * GIB else f"{kib / GIB / 1024:,.1f} TiB"


def _marked(text: str, over: bool) -> str:
    return f"**{text}**" if over else text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def document() -> str:
    """Return docs/operations.md with the computed tables."""
    measured = Measured.read()
    sections = {"capacity": tables(measured), "consumers": scaled(measured)}
    return _COMPUTED.sub(lambda found: f"{found[1]}\n{sections[found[2]]}\n{found[3]}", DOCUMENT.read_text("utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
