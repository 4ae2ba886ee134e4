"""All perspectives of one machine: processes forked from one that has imported the code once.

Six separate starts would take four seconds of processor time. Each has its own environment, port, certificate and
resolver; one that ends is started again.
"""

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perspective import main as perspective

_PR_SET_PDEATHSIG: Final = 1
_RESTART_DELAY: Final = 1.0


def environment(folder: Path, name: str, port: str, resolver_port: str) -> dict[str, str]:
    """Return the variables that differ between perspectives."""
    return {
        "BIND": f"127.0.0.1:{port}",
        "TLS_CERTIFICATE_FILE": str(folder / f"{name}.pem"),
        "TLS_KEY_FILE": str(folder / f"{name}.key"),
        "PERSPECTIVE_NAME": name,
        "RESOLVER_ADDRESS": f"127.0.0.1:{resolver_port}",
    }


class Family:
    """The processes, by pid, with their environments."""

    def __init__(self) -> None:
        self._running: dict[int, dict[str, str]] = {}
        self._ending = False

    def run(self, environments: Sequence[dict[str, str]]) -> None:
        """Run all of them until SIGTERM."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._end)
        for variables in environments:
            self._fork(variables)
        while self._running:
            pid, _ = os.wait()
            variables = self._running.pop(pid)
            if not self._ending:
                time.sleep(_RESTART_DELAY)
            if not self._ending:
                self._fork(variables)

    def _fork(self, variables: dict[str, str]) -> None:
        parent, pid = os.getpid(), os.fork()
        if pid:
            self._running[pid] = variables
            return
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)
        os.environ.update(variables)
        perspective.web()
        sys.exit(0)

    def _end(self, *_: object) -> None:
        self._ending = True
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the certificates")
    parser.add_argument("perspectives", nargs="+", metavar="NAME:PORT:RESOLVER_PORT")
    options = parser.parse_args()
    Family().run([environment(options.folder, *each.split(":")) for each in options.perspectives])


if __name__ == "__main__":
    main()
