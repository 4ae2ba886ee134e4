"""A worker process that is killed right after the CA's key was used, before anything is stored. Run by a test."""

import os
import signal
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from services.issuance import main, work
from services.issuance.ca.signer import Signer
from services.issuance.settings import read_settings
from shared import db


class KillsItsProcess:
    """Signs, leaves the signature where the test finds it, and kills -9."""

    def __init__(self, signer: Signer, left: Path) -> None:
        self._signer = signer
        self.algorithm, self.spki = signer.algorithm, signer.spki
        self._left = left

    def sign(self, to_be_signed: bytes) -> bytes:
        self._left.write_bytes(self._signer.sign(to_be_signed))
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


if __name__ == "__main__":
    settings = read_settings()
    deps = main.make_deps(settings)
    dying = KillsItsProcess(deps.issuer.signer, Path(sys.argv[1]))
    now = datetime.fromisoformat(sys.argv[2])
    with db.open_pool(settings.service.database_url, name="killed") as pool:
        work.issue_next(pool, replace(deps, issuer=replace(deps.issuer, signer=dying)), clock=lambda: now)
