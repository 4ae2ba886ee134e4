"""A worker process that is killed between two steps of a certificate. Run by a test."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from services.issuance import main, work
from services.issuance.ca.signer import Signer
from services.issuance.ct.scts import SCT
from services.issuance.ct.submission import Logs
from services.issuance.settings import read_settings
from shared import db

# Each is the last thing that was done.
POINTS: Final = (
    "precertificate signed",
    "precertificate stored",
    "SCTs received",
    "certificate's bytes stored",
    "certificate signed",
)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class KillsItsProcess:
    """Signer that leaves each signature where the test finds it, and kills -9."""

    def __init__(self, signer: Signer, left: Path, point: str) -> None:
        self._signer = signer
        self.algorithm, self.spki = signer.algorithm, signer.spki
        self._left, self._point, self._count = left, point, 0

    def sign(self, to_be_signed: bytes) -> bytes:
        self._count += 1
        if self._count == 2 and self._point == "certificate's bytes stored":
            die()
        signature = self._signer.sign(to_be_signed)
        (self._left / str(self._count)).write_bytes(signature)
        if self._point == {1: "precertificate signed", 2: "certificate signed"}[self._count]:
            die()
        return signature


class LogsOfADyingProcess:
    """The logs, asked shortly before the end, or not any more."""

    def __init__(self, logs: Logs, point: str) -> None:
        self._logs, self._point = logs, point

    def collect(self, *arguments: Any) -> Sequence[SCT]:
        if self._point == "precertificate stored":
            die()
        found = self._logs.collect(*arguments)
        if self._point == "SCTs received":
            die()
        return found


if __name__ == "__main__":
    settings = read_settings()
    deps = main.make_deps(settings)
    place, now, at = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), sys.argv[3]
    dying = replace(deps.issuer, signer=KillsItsProcess(deps.issuer.signer, place, at))
    with db.open_pool(settings.service.database_url, name="killed") as pool:
        changed: Any = {"issuer": dying, "logs": LogsOfADyingProcess(deps.logs, at)}
        work.issue_next(pool, replace(deps, **changed), clock=lambda: now)
