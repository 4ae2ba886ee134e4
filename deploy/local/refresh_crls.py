"""Refresh of the client CAs' CRLs well before they expire, as long as the system runs."""

import signal
import sys
import threading
from pathlib import Path
from typing import Final

INTERVAL_SECONDS: Final = 3600.0


def main(*places: tuple[Path, Path]) -> None:
    """Re-create the CRLs every hour until stopped; the start of the system has just created them.

    A place is the folder of the keys, and the folder of their CRLs.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.wait(INTERVAL_SECONDS):
        # Imported late: the machine is busy while the system starts.
        from datetime import UTC, datetime

        from deploy.local.crls import write_crls

        for keys, folder in places:
            write_crls(keys, folder, datetime.now(UTC))


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    main(*zip(paths[::2], paths[1::2], strict=True))
