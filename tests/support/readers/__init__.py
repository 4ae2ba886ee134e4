"""Readers of other platforms: Go's crypto/x509 and Java's CertPath, each in one process for all that it is given."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
# A reader compiles its file first; Go also its own library, once on a machine.
_TIMEOUT: Final = 250.0
# The first with the functions that the readers call: 1.21 and 17.
_OLDEST_GO: Final = 21
_OLDEST_JAVA: Final = 17


@dataclass(frozen=True, kw_only=True)
class Made:
    """All that one CA has made, in DER, as relying parties have it; `root_crl` covers the issuer."""

    root: bytes
    issuer: bytes
    root_crl: bytes
    crls: Sequence[bytes]
    good: Sequence[bytes] = ()
    revoked: Sequence[bytes] = ()
    precertificates: Sequence[bytes] = ()

    def write(self, folder: Path) -> None:
        """Write the folder that the readers read."""
        for name, der in (("root", self.root), ("issuer", self.issuer), ("root.crl", self.root_crl)):
            (folder / name).write_bytes(der)
        for name, ders in (
            ("crls", self.crls),
            ("certificates/good", self.good),
            ("certificates/revoked", self.revoked),
            ("precertificates", self.precertificates),
        ):
            (folder / name).mkdir(parents=True)
            for number, der in enumerate(ders):
                (folder / name / str(number)).write_bytes(der)


def present() -> dict[str, list[str]]:
    """Return the commands of the readers that this machine can run, by name."""
    found = {}
    if _version(("go", "env", "GOVERSION"), r"go1\.(\d+)") >= _OLDEST_GO:
        found["go"] = ["go", "run", str(HERE / "reader.go")]
    # A JDK: the runtime that Kafka has here cannot compile a file.
    if _version(("java", "--list-modules"), r"jdk\.compiler@(\d+)") >= _OLDEST_JAVA:
        found["java"] = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(HERE / "Reader.java")]
    return found


@cache
def _version(command: tuple[str, ...], pattern: str) -> int:
    """Return the version that a program shows of itself; 0 if it is absent or shows none."""
    if shutil.which(command[0]) is None:
        return 0
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(pattern, shown)
    return int(found.group(1)) if found else 0


def faults(made: Made, moment: datetime | None) -> list[str]:
    """Return what the readers that are present find wrong at this moment.

    Without a moment, each certificate is judged at its beginning, and not whether it is revoked.
    """
    # The next second: to Java an entry counts only after its date.
    seconds = [] if moment is None else [str(int(moment.timestamp()) + 1)]
    with tempfile.TemporaryDirectory(prefix="readers-") as name:
        made.write(Path(name))
        found: list[str] = []
        for command in present().values():
            done = subprocess.run(
                [*command, name, *seconds],
                env={**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local"},
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT,
            )
            found += done.stdout.splitlines()
            if done.returncode != 0:
                found.append(f"{command[0]}: exit status {done.returncode}: {done.stderr}")
        return found
