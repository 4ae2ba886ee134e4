"""A print process that is killed at the worst moment: a letter is on disk, or off it, and its row does not know yet."""

import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

from services.mailing.letters.pin_envelope import DEFAULT_FONTS, Stationery
from services.mailing.print_key import PrintKey
from services.mailing.print_store import BatchRule
from services.mailing.print_work import Printer, erase_next, print_next
from shared.db import open_pool
from tests.integration.services.mailing.world import HELP, PORTAL


def main(url: str, folder: str, posting: str, task: str, time: str) -> None:
    printer = Printer(
        key=PrintKey.load(Path(folder, "print.key"), Path(folder, "print.crt")),
        stationery=Stationery(fonts=DEFAULT_FONTS, help=HELP, portal=PORTAL),
        folder=Path(posting),
        rule=BatchRule(size=100, age=timedelta(minutes=1)),
    )
    run = {"print": print_next, "erase": erase_next}[task]

    def clock() -> datetime:
        """Return asked at the claim, and again when the outcome is to be recorded."""
        if any(Path(posting).rglob("*.pdf")) is (task == "print"):
            os.kill(os.getpid(), signal.SIGKILL)
        return datetime.fromisoformat(time)

    run(open_pool(url, name="dying"), printer, clock=clock)


if __name__ == "__main__":
    main(*sys.argv[1:])
