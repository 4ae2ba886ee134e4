"""`make drill-restore`: lose a database amid renewals, restore it to a point in time, and recover its service.

Base backup and archived WAL are real, and the commands are those of "Restore one database" in docs/operations.md. At
the end every renewal has its certificates, and the reconciliation finds no divergence.
"""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from deploy.local import bring_up, kafka, processes, restoring, samples, stack
from deploy.local.installation import DEFAULT_FOLDER, Installation, Ports
from deploy.local.processes import Process
from deploy.local.reconcile import Reconciliation
from deploy.local.run import Progress, running
from deploy.local.supervision import Supervisor
from deploy.local.waiting import TookTooLong, wait_until
from deploy.postgres.roles import DESK, SERVICES, package
from devtools.scenario import invariants
from devtools.scenario.ar import Order
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.crash_drill import READY_SECONDS
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Postbox
from devtools.scenario.target import Target
from shared.web.https_client import APIProblem

ACTOR: Final = "drill"
# Expected while a restored issuance reads its events again, and until the letters with the new PINs arrive.
MAY_PASS: Final = ("order-not-found", "pin-not-ready", "pin-wrong", "pin-locked")
LETTER_SECONDS: Final = 8
# A line of the reconciliation: kind, renewal, difference.
DIVERGENCE: Final = re.compile(r"[a-z-]+: [0-9a-f-]+: ")


class Point(StrEnum):
    """Points in time to which the database is restored."""

    LAST_SECOND = "last-second"
    YESTERDAY = "yesterday"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Cost of one restore, and the divergences that it left."""

    service: str
    point: Point
    rpo_seconds: float
    rto_seconds: float
    brought_back: int
    # Lines of the reconciliation that were not there before the loss.
    divergences: tuple[str, ...]
    # Renewals that their ARs could not complete.
    stranded: tuple[str, ...]

    @property
    def diverged(self) -> bool:
        """Whether the comparison names anything, or an AR could not complete a renewal."""
        return bool(self.divergences or self.stranded)

    def __str__(self) -> str:
        end = "DIVERGES" if self.diverged else "agrees"
        return (
            f"{self.service:12} {self.point:12} RPO {self.rpo_seconds:5.1f} s  RTO {self.rto_seconds:5.1f} s  "
            f"{self.brought_back:4} renewals brought back  {end}"
        )


@dataclass(kw_only=True)
class RestoreDrill:
    """A system whose databases are lost one after the other."""

    installation: Installation
    supervisor: Supervisor
    renewals: int
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.target = Target(installation=self.installation, patience=READY_SECONDS)
        self.postbox = Postbox(folder=self.installation.posting)
        self.ars = ThreadPoolExecutor(3 * self.renewals)

    def run(self, service: str, point: Point) -> Outcome:
        """Renew, lose, restore, recover, renew to the end, compare."""
        folder = self.installation.folder / "restores" / f"{service}-{point}"
        restoring.base_backup(self.installation.cluster, folder / "backup")
        self._all_end(self._begin(self.renewals))
        self._rest()
        yesterday = datetime.now(UTC)
        time.sleep(1.1)
        ended, paid = self._begin(self.renewals), self._begin(self.renewals, until_paid=True)
        waiting = [each.result() for each in paid]
        self._all_end(ended)
        moving = self._begin(self.renewals)
        time.sleep(2)
        mine = [each for each in self._table() if each.name.startswith(f"{service}-")]
        lost_at = datetime.now(UTC)
        self.supervisor.stop_some(mine)
        moment = yesterday if point is Point.YESTERDAY else lost_at - timedelta(seconds=1)
        self._restore(service, moment, folder)
        forgotten = self._recover(service, moment)
        self.supervisor.start(mine)
        bring_up.wait_until_ready(mine, self.supervisor)
        if service == "payment":
            self._recheck(forgotten)
        rto = (datetime.now(UTC) - lost_at).total_seconds()
        stranded = self._stranded([*moving, *(self.ars.submit(fulfil, each) for each in waiting)])
        self._rest()
        return Outcome(
            service=service,
            point=point,
            rpo_seconds=(lost_at - moment).total_seconds(),
            rto_seconds=rto,
            brought_back=len(forgotten),
            divergences=self._new_divergences(),
            stranded=stranded,
        )

    def _new_divergences(self) -> tuple[str, ...]:
        done = Reconciliation(installation=self.installation, grace=0).run()
        if done.returncode > 1:
            raise RuntimeError(f"the records could not be compared: {done.stderr}")
        named = [line for line in done.stdout.splitlines() if DIVERGENCE.match(line)]
        new = tuple(line for line in named if line not in self.known)
        self.known.update(new)
        return new

    def _begin(self, number: int, *, until_paid: bool = False) -> "list[Future[Journey]]":
        """Start renewals of so many ARs; each goes to its end, or waits with its letters."""
        srns = [f"{3_000_001 + next(self.numbers):010d}" for _ in range(number)]
        return [self.ars.submit(self._renew, srn, until_paid) for srn in srns]

    def _renew(self, srn: str, until_paid: bool) -> Journey:
        journey = self.target.journey([srn], self.installation.folder / "ars" / srn, postbox=self.postbox)
        journey.every = 0.25
        submit(journey)
        journey.pay()
        journey.receive_letters()
        return journey if until_paid else fulfil(journey)

    @staticmethod
    def _all_end(running: "Sequence[Future[Journey]]") -> None:
        for each in running:
            each.result().ar.close()

    @staticmethod
    def _stranded(running: "Sequence[Future[Journey]]") -> tuple[str, ...]:
        """Wait for the ARs. Returns why some of them could not continue."""
        ended = [each.exception() for each in running]
        return tuple(f"stranded: {type(error).__name__}: {error}" for error in ended if error is not None)

    def _rest(self) -> None:
        wait_until(
            lambda: invariants.at_rest(self.target), limit=READY_SECONDS, what="nothing is left to do", every=0.5
        )

    def _table(self) -> tuple[Process, ...]:
        return processes.table(self.installation, stack.outside())

    def _restore(self, service: str, moment: datetime, folder: Path) -> None:
        cluster = self.installation.cluster
        restoring.archive_everything(cluster)
        with restoring.restored(cluster, folder / "backup", moment, folder / "cluster") as second:
            restoring.carry_over(second, cluster, service)
        shutil.rmtree(folder)

    def _recover(self, service: str, moment: datetime) -> list[str]:
        """Perform steps 3 and 4 of the document. Returns the renewals whose state was lost."""
        forgotten: list[str] = []
        if service != DESK:
            with kafka.may_read_its_own(self.installation.broker, service):
                said = self._command(service, "recall", "--actor", ACTOR)
            forgotten = [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("forgotten: ")]
        if service != "identity":
            self._command(service, "rewind", "--to", (moment - timedelta(hours=1)).isoformat(), "--actor", ACTOR)
        return forgotten

    def _recheck(self, renewals: Sequence[str]) -> None:
        """Perform step 6: recheck every payment, once its consumer has read its events again."""
        until = time.monotonic() + READY_SECONDS
        for renewal in renewals:
            recheck = partial(self._run, "payment", "recheck", renewal, "--actor", ACTOR)
            while recheck().returncode != 0:
                if time.monotonic() > until:
                    raise TookTooLong(f"payment does not know renewal {renewal} again")
                time.sleep(1)

    def _run(self, service: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = stack.service_environment(self.installation, service, stack.outside())
        command = [sys.executable, "-m", f"{package(service)}.main", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def _command(self, service: str, *arguments: str) -> str:
        done = self._run(service, *arguments)
        if done.returncode != 0:
            raise RuntimeError(f"{service} {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


def submit(journey: Journey) -> None:
    """Submit, with a new draft if a restored application lost the first one."""
    try:
        journey.submit()
    except APIProblem as problem:
        if problem.slug != "renewal-not-found":
            raise
        journey.submit()


def fulfil(journey: Journey) -> Journey:
    """Submit the CSRs, if necessary with the PINs of later letters, and wait for the end."""
    csrs = journey.make_csrs()
    for order in journey.orders:
        _hand_in(journey, order, csrs[order])
    for order in journey.orders:
        journey.download(order)
    journey.wait_for_the_end()
    return journey


def _hand_in(journey: Journey, order: Order, csr: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            return journey.hand_in(order, csr)
        except APIProblem as problem:
            if problem.slug not in MAY_PASS or time.monotonic() > until:
                raise
            time.sleep(LETTER_SECONDS)
            journey.receive_letters()


def drill(folder: Path, services: Sequence[str], points: Sequence[Point], renewals: int) -> list[Outcome]:
    """Run all restores on one system."""
    shutil.rmtree(folder, ignore_errors=True)
    installation = Installation.open(folder, Ports.free())
    restoring.begin_archive(installation.wal_archive)
    outcomes: list[Outcome] = []
    with running(installation, Progress()) as supervisor:
        runs = [(service, point) for service in services for point in points]
        import_subscriptions(installation, samples.many(4 * renewals * len(runs)))
        each = RestoreDrill(installation=installation, supervisor=supervisor, renewals=renewals)
        for service, point in runs:
            outcomes.append(each.run(service, point))
            print(*outcomes[-1].divergences, *outcomes[-1].stranded, outcomes[-1], sep="\n", flush=True)
    return outcomes


def main() -> None:
    """Run the drill. Exit status 1 if anything diverges."""
    parser = argparse.ArgumentParser(prog="make drill-restore", description=__doc__)
    parser.add_argument(
        "services", nargs="*", metavar="SERVICE", help=f"services to restore, of {', '.join(SERVICES)} (default: all)"
    )
    parser.add_argument(
        "--point", choices=[*Point], action="append", help="point in time to restore to (default: both)"
    )
    parser.add_argument("--renewals", type=int, default=3, help="number of renewals at each stage")
    parser.add_argument("--keep", action="store_true", help="keep the folder for inspection")
    options = parser.parse_args()
    folder = DEFAULT_FOLDER.parent / ".local-drill-restore"
    points = [Point(each) for each in options.point or Point]
    outcomes = drill(folder, options.services or SERVICES, points, options.renewals)
    print(*outcomes, sep="\n")
    if not options.keep:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    raise SystemExit(any(outcome.diverged for outcome in outcomes))


if __name__ == "__main__":
    main()
