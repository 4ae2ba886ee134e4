"""What renewals take of the machine: processor time of each process, and room on disk."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psutil
import psycopg

from deploy.local.installation import Installation
from deploy.local.postgres import SERVICES
from deploy.local.supervision import Supervisor

# Processes that stand for somebody outside.
OUTSIDERS: Final = ("payment-sandbox", "mailbox", "crls")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Totals: seconds of processor time by process, bytes in each database and in one copy of Kafka's log."""

    cpu: Mapping[str, float]
    database_bytes: Mapping[str, int]
    kafka_bytes: int


@dataclass(kw_only=True)
class Meter:
    """Counts between `start` and `stop`; what the processes take while nobody renews anything is left out."""

    installation: Installation
    supervisor: Supervisor
    _idle: Mapping[str, float] | None = None
    _before: Mapping[str, float] | None = None
    _sizes: tuple[Mapping[str, int], int] = ({}, 0)
    _begun: float = 0.0

    def watch_idle(self, seconds: float) -> None:
        """Learn what each process takes a second while it has nothing to do."""
        before = self._cpu()
        time.sleep(seconds)
        self._idle = {name: (now - before.get(name, 0.0)) / seconds for name, now in self._cpu().items()}

    def start(self) -> None:
        """From now on."""
        self._sizes, self._before, self._begun = self._bytes(), self._cpu(), time.monotonic()

    def stop(self) -> Taken:
        """Until now."""
        seconds, after, idle, before = time.monotonic() - self._begun, self._cpu(), self._idle or {}, self._before or {}
        databases, kafka = self._bytes()
        return Taken(
            cpu={
                name: max(0.0, now - before.get(name, 0.0) - idle.get(name, 0.0) * seconds)
                for name, now in after.items()
                if name not in OUTSIDERS
            },
            database_bytes={service: size - self._sizes[0][service] for service, size in databases.items()},
            kafka_bytes=kafka - self._sizes[1],
        )

    def _cpu(self) -> dict[str, float]:
        return {name: _seconds(pid) for name, (_, pid) in self.supervisor.states().items() if pid}

    def _bytes(self) -> tuple[Mapping[str, int], int]:
        with psycopg.connect(self.installation.cluster.url("postgres"), autocommit=True) as conn:
            sizes = conn.execute(
                "SELECT datname, pg_database_size(datname) FROM pg_database WHERE datname = ANY(%s)", ([*SERVICES],)
            ).fetchall()
        logs = (self.installation.broker.folder / "log").glob("*-[0-9]*/*.log")
        return dict(sizes), sum(path.stat().st_size for path in logs if not path.parent.name.startswith("__"))


def _seconds(pid: int) -> float:
    """Of a process and what it has forked, those that have ended included."""
    try:
        process = psutil.Process(pid)
        return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0.0
