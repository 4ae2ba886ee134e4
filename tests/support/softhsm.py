"""Tokens of SoftHSM, which stand in for an HSM: its maker's module is spoken to in the same way."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from services.issuance.settings import CAToken
from tests.unit.services.issuance.csr.csrs import private_pem

MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN: Final = "648219"
MISSING: Final = "SoftHSM is not installed, and only root can install it: apt-get install softhsm2"


def is_there() -> bool:
    """Return whether it is installed."""
    return MODULE.is_file()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that uses the tokens of this folder."""
    tokens, told = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir(exist_ok=True)
    told.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return {"SOFTHSM2_CONF": str(told)}


def put(key: rsa.RSAPrivateKey, folder: Path, *, label: str = "ecert-ca", pin: str = PIN) -> CAToken:
    """Put a key into a new token of a folder, and say where it is; `pin` is the one in the file."""
    told, pem, pin_file = environment(folder), folder / "key", folder / "pin"
    pem.write_text(private_pem(key))
    pin_file.write_text(f"{pin}\n")
    _run(["--init-token", "--free", "--label", label, "--so-pin", "57121944", "--pin", PIN], told)
    _run(["--import", str(pem), "--token", label, "--label", "issuing", "--id", "17", "--pin", PIN], told)
    pem.unlink()
    return CAToken(module_file=MODULE, label=label, object_label="issuing", pin_file=pin_file)


def _run(arguments: list[str], told: Mapping[str, str]) -> None:
    command = ["softhsm2-util", *arguments]
    done = subprocess.run(command, env={**os.environ, **told}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
