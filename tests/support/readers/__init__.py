"""Readers of other platforms: Go's crypto/x509 and Java's CertPath, each in one process for all that it is given."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
# A reader compiles its file first.
_TIMEOUT: Final = 100.0


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
    if shutil.which("go") is not None:
        found["go"] = ["go", "run", str(HERE / "reader.go")]
    if _compiles_java():
        found["java"] = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(HERE / "Reader.java")]
    return found


def _compiles_java() -> bool:
    """Return whether there is a JDK: the runtime that Kafka has here cannot compile a file."""
    if shutil.which("java") is None:
        return False
    listed = subprocess.run(["java", "--list-modules"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "jdk.compiler" in listed.stdout


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
