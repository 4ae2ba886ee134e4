"""Run by Python at the start of each process of a system under test: web processes check their own answers."""

import os
import sys

if sys.orig_argv[-1:] and sys.orig_argv[-1] in ("web", "operate", "feed") and "ECERT_STATE_FOLDER" in os.environ:
    from pathlib import Path

    from tests.support.http_contract import Checker

    _BROKEN = Path(os.environ["ECERT_STATE_FOLDER"]) / "broken-answers.log"

    def _report(line: str) -> None:
        with _BROKEN.open("a") as file:
            file.write(line.replace("\n", " ") + "\n")

    Checker(_report).listen()
