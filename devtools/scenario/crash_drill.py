"""`make drill`: kill the whole system with kill -9 amid many renewals, restart it, and count the results."""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final

import psutil

from deploy.local import samples, waiting
from deploy.local.installation import DEFAULT_FOLDER, Installation, Ports
from deploy.local.leftovers import name_of, processes_of
from deploy.local.reconcile import Reconciliation
from devtools.scenario import invariants
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.postbox import Postbox
from devtools.scenario.target import Target

READY_SECONDS: Final = 300
ENGINES: Final = {"envoy", "kafka", "postgres", "supervisord"}


class Stop(Enum):
    """Points at which an AR may wait for the kill."""

    TO_PAY = "to pay"
    FIRST_CSR = "to submit the first CSR"
    SECOND_CSR = "to submit the second CSR"


@dataclass(frozen=True, kw_only=True)
class Course:
    """An AR's part in the drill: it waits at `start`, continues when the kill comes, and passes `end` only after the
    kill.
    """

    items: int
    end: Stop
    start: Stop | None = None


# Nobody reaches the end before the kill, and the kill meets every step both waiting and running.
COURSES: Final = (
    Course(items=1, end=Stop.TO_PAY),
    Course(items=1, start=Stop.TO_PAY, end=Stop.FIRST_CSR),
    Course(items=1, end=Stop.FIRST_CSR),
    Course(items=2, start=Stop.FIRST_CSR, end=Stop.SECOND_CSR),
    Course(items=2, end=Stop.SECOND_CSR),
)


class Kill:
    """The time of the kill, for which the ARs wait at their stops."""

    def __init__(self) -> None:
        self._coming, self._over = threading.Event(), threading.Event()
        self._waiting: set[int] = set()

    def wait(self, number: int, course: Course, stop: Stop) -> None:
        """Wait at a stop; called by AR `number` at each of them."""
        if stop in (course.start, course.end):
            self._waiting.add(number)
            (self._coming if stop is course.start else self._over).wait()

    @property
    def waiting(self) -> int:
        """The number of ARs that have reached their stop."""
        return len(self._waiting)

    def comes(self) -> None:
        """Let the ARs continue whose course starts now."""
        self._coming.set()

    def is_over(self) -> None:
        """Let all ARs continue."""
        self._coming.set()
        self._over.set()


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One system, and the renewals that it must survive."""

    installation: Installation
    renewals: int
    kill: Kill = field(default_factory=Kill)

    @property
    def items(self) -> int:
        """The number of items of all renewals."""
        return sum(self._course(number).items for number in range(self.renewals))

    def run(self, kills: int, chance: random.Random) -> dict[str, int]:
        """Renew, kill and restart `kills` times, and let everything end. Returns the counts."""
        target = Target(installation=self.installation, patience=READY_SECONDS)  # tolerates the outage
        postbox = Postbox(folder=self.installation.posting)
        with ThreadPoolExecutor(self.renewals) as ars:
            try:
                with started(self.installation) as system:
                    import_subscriptions(self.installation, samples.many(2 * self.renewals))
                    running = [ars.submit(self._renew, target, postbox, number) for number in range(self.renewals)]
                    wait_until(lambda: self.kill.waiting == self.renewals, running)
                    self.kill.comes()
                    time.sleep(chance.uniform(0.3, 2.0))
                    killed_at = kill_everything(self.installation, system)
            finally:
                self.kill.is_over()
            for _ in range(kills - 1):
                with started(self.installation) as system:
                    time.sleep(chance.uniform(2, 6))
                    kill_everything(self.installation, system)
            with started(self.installation):
                ids = [each.result() for each in running]
                print("last event of each renewal before the kill:", flush=True)
                for name, number in invariants.last_events(target, killed_at).most_common():
                    print(f"{number:6}  {name}")
                # An e-mail in flight at the kill is sent again after its lease, when its renewal may have ended.
                wait_until_at_rest(target)
                return {
                    "renewals running at the kill": invariants.running(target, killed_at),
                    **invariants.all_of(target, ids),
                    "reconciliations that diverge": reconcile(target),
                }

    def _course(self, number: int) -> Course:
        return COURSES[number % len(COURSES)]

    def _renew(self, target: Target, postbox: Postbox, number: int) -> str:
        course = self._course(number)
        srns = [each.srn for each in samples.many(2 * self.renewals)[2 * number :][: course.items]]
        journey = target.journey(srns, self.installation.folder / "ars" / srns[0], postbox=postbox)
        journey.every = 0.25
        journey.submit()
        self.kill.wait(number, course, Stop.TO_PAY)
        journey.pay()
        journey.receive_letters()
        csrs = journey.make_csrs()
        for stop, order in zip((Stop.FIRST_CSR, Stop.SECOND_CSR), journey.orders, strict=False):
            self.kill.wait(number, course, stop)
            journey.hand_in(order, csrs[order])
            journey.download(order)
        journey.wait_for_the_end()
        journey.ar.close()
        return journey.id


def wait_until_at_rest(target: Target) -> None:
    """Wait until all events are applied, and all e-mails and letters are out. Raises TookTooLong."""
    waiting.wait_until(lambda: invariants.at_rest(target), limit=READY_SECONDS, what="nothing is left to do", every=0.5)


def reconcile(target: Target) -> int:
    """Compare all records, and print the divergences. Returns 1 if there are any."""
    done = Reconciliation(installation=target.installation, grace=0).run()
    print(done.stdout, end="", flush=True)
    if done.returncode > 1:
        raise RuntimeError(f"the records could not be compared: {done.stderr}")
    return done.returncode


def wait_until(true: Callable[[], bool], running: "Sequence[Future[str]]") -> None:
    """Poll every 50 ms, for READY_SECONDS at most. Raises the error of an AR who has given up."""
    until = time.monotonic() + READY_SECONDS
    while not true():
        for each in running:
            if each.done():
                raise RuntimeError(f"a renewal ended before the kill: {each.result()}")
        if time.monotonic() > until:
            raise TimeoutError("the renewals make no progress")
        time.sleep(0.05)


@contextmanager
def started(installation: Installation) -> Iterator[subprocess.Popen[str]]:
    """Yield `make run` as a separate process, from ready to stopped."""
    command = [sys.executable, "-m", "deploy.local.run", "--folder", str(installation.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    ready = threading.Event()
    threading.Thread(target=_read, args=(process, ready), daemon=True).start()
    try:
        if not ready.wait(READY_SECONDS):
            raise TimeoutError("the system did not become ready")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(READY_SECONDS)


def _read(process: "subprocess.Popen[str]", ready: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready after" in line:
            print(line.strip(), flush=True)
            ready.set()


def kill_everything(installation: Installation, system: "subprocess.Popen[str]") -> datetime:
    """Send SIGKILL to every process of the installation, including supervisor and `make run`. Returns the time."""
    found = [psutil.Process(system.pid), *processes_of(installation.folder)]
    engines = sorted({name_of(process) for process in found} & ENGINES)
    killed_at, killed = datetime.now(UTC), set[int]()
    while found:
        # All are stopped before the first one dies: no process sees another one go and cleans up.
        for signal_number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal_number)
        killed |= {process.pid for process in found}
        found = list(processes_of(installation.folder))
    system.wait()
    print(f"killed {len(killed)} processes with kill -9, {', '.join(engines)} among them", flush=True)
    return killed_at


def main() -> None:
    """Run the drill on a system of its own. Exit status 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument("--renewals", type=int, default=50)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    folder: Path = DEFAULT_FOLDER.parent / ".local-drill"
    shutil.rmtree(folder, ignore_errors=True)
    print(f"seed {options.seed}", flush=True)
    installation = Installation.open(folder, Ports.free())
    installation.keep_ports()
    drill = Drill(installation=installation, renewals=options.renewals)
    counts = Counter(drill.run(options.kills, random.Random(options.seed)))  # noqa: S311 (no secret)
    for name, number in counts.items():
        print(f"{number:6}  {name}")
    faults = invariants.faults(counts, renewals=options.renewals, items=drill.items)
    for fault in faults:
        print(f"FAULT: {fault}")
    if not faults:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
