"""Makes the client CAs' CRLs again well before they lapse, for as long as the system runs."""

import signal
import sys
import threading
from pathlib import Path
from typing import Final

INTERVAL_SECONDS: Final = 3600.0


def main(keys: Path, folder: Path) -> None:
    """Make the lists every hour, until told to stop; the start of the system has just made them."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.wait(INTERVAL_SECONDS):
        # Not before it is needed: a start of the system has better use for the machine.
        from datetime import UTC, datetime

        from deploy.local.crls import write_crls

        write_crls(keys, folder, datetime.now(UTC))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
