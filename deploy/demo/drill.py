"""`make drill`: the whole system is killed with kill -9 amid many renewals, started again, and counted afterwards."""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.demo import count
from deploy.demo.journey import Journey
from deploy.demo.target import Target
from deploy.local import samples, stack
from deploy.local.installation import DEFAULT_FOLDER, Installation, Ports
from deploy.local.leftovers import processes_of

# Renewals at work at one time; the rest wait their turn on the AR's side.
AT_ONCE: Final = 12
READY_SECONDS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One system, and the renewals it shall survive."""

    installation: Installation
    renewals: int

    @property
    def target(self) -> Target:
        """The system, borne while it is away."""
        return Target(installation=self.installation, patience=READY_SECONDS)

    def run(self, kills: int, chance: random.Random) -> dict[str, int]:
        """Renew, kill and restart `kills` times, let everything end; the counts."""
        done: list[Journey] = []
        with started(self.installation):
            import_subscriptions(self.installation, self.renewals)
        with ThreadPoolExecutor(AT_ONCE) as ars:
            with started(self.installation) as system:
                running = [ars.submit(self._renew, number, done) for number in range(self.renewals)]
                wait_until(lambda: len(done) >= self.renewals // 5)
                kill_everything(self.installation, system)
            for _ in range(kills - 1):
                with started(self.installation) as system:
                    time.sleep(chance.uniform(2, 6))
                    kill_everything(self.installation, system)
            with started(self.installation):
                print(f"{len(done)} of {self.renewals} had ended when it came back", flush=True)
                for each in running:
                    each.result()
                return count.all_of(self.target, done)

    def _renew(self, number: int, done: list[Journey]) -> None:
        srn = samples.many(self.renewals)[number].srn
        journey = self.target.journey([srn], self.installation.folder / "ars" / srn)
        journey.apply()
        journey.receive()
        journey.fulfil()
        journey.ar.close()
        done.append(journey)


def wait_until(true: Callable[[], bool]) -> None:
    """Look every 50 ms, for READY_SECONDS at most."""
    until = time.monotonic() + READY_SECONDS
    while not true():
        if time.monotonic() > until:
            raise TimeoutError("the renewals do not get on")
        time.sleep(0.05)


@contextmanager
def started(installation: Installation) -> Iterator[subprocess.Popen[str]]:
    """`make run` as a process of its own, from ready to stopped."""
    command = [sys.executable, "-m", "deploy.local.run", "--folder", str(installation.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    ready = threading.Event()
    threading.Thread(target=_read, args=(process, ready), daemon=True).start()
    try:
        if not ready.wait(READY_SECONDS):
            raise TimeoutError("the system did not get ready")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(READY_SECONDS)


def _read(process: "subprocess.Popen[str]", ready: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready after" in line:
            print(line.rstrip(), flush=True)
            ready.set()


def kill_everything(installation: Installation, system: "subprocess.Popen[str]") -> None:
    """SIGKILL to every process of the installation at once, the supervisor and `make run` itself included."""
    os.kill(system.pid, signal.SIGSTOP)
    processes = list(processes_of(installation.folder))
    for process in processes:
        process.kill()
    os.kill(system.pid, signal.SIGKILL)
    system.wait()
    print(f"killed {len(processes) + 1} processes with kill -9", flush=True)


def import_subscriptions(installation: Installation, number: int) -> None:
    """Bring in as many subscriptions as there are renewals."""
    file = installation.folder / "many.json"
    content = samples.subscriptions(installation.pki, samples.many(number), datetime.now(UTC))
    file.write_text(json.dumps(content), "utf-8")
    environment = stack.service_environment(installation, "application", stack.outside())
    command = [sys.executable, "-m", "services.application.main", "import", str(file)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run the drill on a system of its own; exit status 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument("--renewals", type=int, default=50)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    folder: Path = DEFAULT_FOLDER.parent / ".local-drill"
    shutil.rmtree(folder, ignore_errors=True)
    print(f"seed {options.seed}", flush=True)
    drill = Drill(installation=Installation.open(folder, Ports.free()), renewals=options.renewals)
    counts = Counter(drill.run(options.kills, random.Random(options.seed)))  # noqa: S311
    for name, number in counts.items():
        print(f"{number:6}  {name}")
    good = not count.faults(counts, options.renewals)
    for fault in count.faults(counts, options.renewals):
        print(f"FAULT: {fault}")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
