"""Makes the client CAs' CRLs again well before they lapse, for as long as the system runs."""

import signal
import sys
import threading
from pathlib import Path
from typing import Final

INTERVAL_SECONDS: Final = 3600.0


def main(*places: tuple[Path, Path]) -> None:
    """Make the lists every hour, until told to stop; the start of the system has just made them.

    A place is where keys lie, and where their lists belong.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.wait(INTERVAL_SECONDS):
        # Not before it is needed: a start of the system has better use for the machine.
        from datetime import UTC, datetime

        from deploy.local.crls import write_crls

        for keys, folder in places:
            write_crls(keys, folder, datetime.now(UTC))


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    main(*zip(paths[::2], paths[1::2], strict=True))
