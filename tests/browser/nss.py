"""A certificate store as Firefox and Chromium on Linux keep it: an NSS database with an e-Cert and a trusted root."""

import subprocess
from pathlib import Path

from tests.browser.programs import need


def create(folder: Path, *, trusted: Path) -> None:
    """Create a store without a password that trusts this root (PEM) for servers."""
    need("certutil")
    folder.mkdir(parents=True)
    _run("certutil", "-N", "--empty-password", "-d", f"sql:{folder}")
    _run("certutil", "-A", "-d", f"sql:{folder}", "-n", "gateway", "-t", "C,,", "-i", str(trusted))


def import_ecert(folder: Path, file: Path, password: str) -> None:
    """Import a PKCS#12 file, as the browsers' own dialogs do."""
    _run("pk12util", "-d", f"sql:{folder}", "-i", str(file), "-W", password)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
