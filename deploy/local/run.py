"""`make run`: start the whole system on this machine, from nothing to ready, until Ctrl-C."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local import bring_up, processes, stack, supervision
from deploy.local.checks import ENGINES, READY, STOPPING, check_ports, check_tools, only_one
from deploy.local.installation import DEFAULT_FOLDER, CannotStart, Installation, Ports
from deploy.local.kafka_jars import WrongJar
from deploy.local.leftovers import end_leftovers, memory_of
from deploy.local.processes import Group, Process
from deploy.local.stack import Outside
from deploy.local.summary import summary
from deploy.local.supervision import Supervisor
from deploy.local.waiting import TookTooLong

# What services need of others, besides Kafka and PostgreSQL, when they themselves are started by hand.
_BESIDE_ENGINES: Final = ("gateway", "mailbox", "dns", "perspectives", "transparency-logs")
# Errors that are printed without a traceback.
EXPECTED: Final = (CannotStart, WrongJar, bring_up.StepFailed, TookTooLong)


class Progress:
    """Progress output: each step with the time since the start."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.monotonic() - self.begun

    def __call__(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", flush=True)


@contextmanager
def running(
    installation: Installation, say: Progress, *, engines_only: bool = False, there: Outside | None = None
) -> Iterator[Supervisor]:
    """Yield the ready system for the duration of the block; also for the demo and for tests."""
    there = there or stack.outside()
    check_tools()
    with only_one(installation.folder) as note:
        end_leftovers(installation.folder, say)
        table = processes.table(installation, there)
        if engines_only:
            table = tuple(each for each in table if each.group is Group.ENGINES or each.name in _BESIDE_ENGINES)
        check_ports(installation, table)
        installation.keep_ports()
        bring_up.prepare(installation, there, say)
        say("Starting PostgreSQL, Kafka, the gateway, the mail catcher and the payment sandbox")
        supervisor = supervision.launch(installation, table)
        try:
            _bring_up(installation, there, supervisor, table, say)
            note(ENGINES if engines_only else READY)
            yield supervisor
        finally:
            note(STOPPING)
            say("Stopping")
            supervisor.stop()


def _bring_up(
    installation: Installation, there: Outside, supervisor: Supervisor, table: Sequence[Process], say: Progress
) -> None:
    services = [process for process in table if process.group is Group.SERVICES]
    pool = ThreadPoolExecutor(1)
    try:
        topics = pool.submit(bring_up.deploy_topics, installation, there, supervisor)
        if services:
            bring_up.deploy_databases(installation, there, supervisor, say)
            say("Starting the services")
            supervisor.start(process for process in services if not process.needs_kafka)
        topics.result()
    finally:
        pool.shutdown(wait=False)  # interrupted: the steps see that the supervisor has gone
    say("Kafka's topics, users and access rights are there")
    supervisor.start(process for process in services if process.needs_kafka)
    if services:
        bring_up.import_samples(installation, there, say)
        bring_up.register_readers(installation, there, say)
        bring_up.assign_roles(installation, there, say)
    say("Waiting until everything is ready")
    bring_up.wait_until_ready(table, supervisor, say=say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="folder for all state")
    parser.add_argument("--only", choices=["engines"], help="start no services, only what they need")
    parser.add_argument("--free-ports", action="store_true", help="use free ports, beside another system")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: _interrupt(stop))
    say = Progress()
    try:
        installation = Installation.open(options.folder, Ports.free() if options.free_ports else None)
        with running(installation, say, engines_only=options.only == "engines") as supervisor:
            say(f"Ready after {say.seconds:.1f} s, {_memory(installation)} in all\n")
            print(summary(installation, supervisor.states()))
            print("\nCtrl-C stops everything. `make demo` in another terminal renews three certificates.", flush=True)
            stop.armed = True  # type: ignore[attr-defined]  # read by the signal handler
            while not stop.wait(0.5) and supervisor.alive:
                pass
            if not supervisor.alive:
                say("supervisord ended by itself: see its log")
                return 1
    except KeyboardInterrupt:
        pass
    except EXPECTED as error:
        print(f"\n{said(error, options.folder)}", file=sys.stderr)
        return 1
    say("Stopped")
    return 0


def said(error: Exception, folder: Path) -> str:
    """Return the text of an expected error, with the log to read if the reason is not in it."""
    return str(error) if isinstance(error, CannotStart) else f"{error} (logs: {folder.resolve() / 'logs'})"


def _interrupt(stop: threading.Event) -> None:
    """Handle a signal: abort a start and stop what runs; once the system is up, end the wait."""
    if getattr(stop, "armed", False):
        stop.set()
    else:
        raise KeyboardInterrupt


def _memory(installation: Installation) -> str:
    return f"{sum(memory_of(installation.folder).values()) / 2**20:.0f} MiB of memory"


if __name__ == "__main__":
    sys.exit(main())
