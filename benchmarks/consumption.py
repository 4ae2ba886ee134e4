"""Consumption of renewals: processor time of each process, and disk space."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psutil
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.installation import Installation
from deploy.local.processes import table
from deploy.local.stack import outside
from deploy.local.supervision import Supervisor
from deploy.postgres.roles import SERVICES
from devtools.scenario.gateway_client import plain_http

# Processes that stand for external systems.
OUTSIDERS: Final = ("payment-sandbox", "mailbox", "crls")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Totals: processor seconds by process, bytes of each database and of one copy of Kafka's log."""

    cpu: Mapping[str, float]
    database_bytes: Mapping[str, int]
    kafka_bytes: int


@dataclass(kw_only=True)
class Meter:
    """Meter of consumption between `start` and `stop`, without the idle load of the processes."""

    installation: Installation
    supervisor: Supervisor
    _idle: Mapping[str, float] | None = None
    _before: Mapping[str, float] | None = None
    _sizes: tuple[Mapping[str, int], int] = ({}, 0)
    _begun: float = 0.0

    def watch_idle(self, seconds: float) -> None:
        """Measure the idle load of each process."""
        before = self._cpu()
        time.sleep(seconds)
        self._idle = {name: (now - before.get(name, 0.0)) / seconds for name, now in self._cpu().items()}

    def start(self) -> None:
        """Start the measurement."""
        self._sizes, self._before, self._begun = self._bytes(), self._cpu(), time.monotonic()

    def stop(self) -> Taken:
        """Return the totals since `start`."""
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
    """Return the processor seconds of a process and its children, including ended ones."""
    try:
        process = psutil.Process(pid)
        return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0.0


def steps_of_issuing(installation: Installation) -> dict[str, float]:
    """Return the processor seconds that `issuance-work` has spent on each step of issuing."""
    [work] = [each for each in table(installation, outside()) if each.name == "issuance-work"]
    page = plain_http(f"http://127.0.0.1:{work.admin_port}/metrics").body.decode()
    return {
        sample.labels["step"]: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "issuance_step_cpu_seconds_total"
    }
