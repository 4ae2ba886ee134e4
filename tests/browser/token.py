"""A token with an e-Cert: SoftHSM stands in for the vendor's, whose software is a PKCS#11 module, too."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.browser.programs import ENGINE, need

MODULE: Final = "/usr/lib/softhsm/libsofthsm2.so"
PIN: Final = "654321"
_URL: Final = "pkcs11:token=e-Cert"


@dataclass(frozen=True)
class Token:
    """A token that is plugged in for every program with its environment. The e-Cert's ID on it is 01."""

    environment: dict[str, str]

    def plug_into(self, store: Path) -> None:
        """Load its module into a certificate store, as the vendor's installer does."""
        module = ["-add", "e-Cert token", "-libfile", MODULE, "-mechanisms", "FRIENDLY"]
        _run(["modutil", "-dbdir", f"sql:{store}", *module, "-force"], self.environment)


def create(folder: Path, key: Path, certificate: Path) -> Token:
    """Return a token in a folder of its own, with this key and certificate (PEM).

    A vendor's software asks for the PIN in a window of its own, which nobody can type into here: so the key is one that
    signs without it, too. A login, as OpenSC and OpenSSL do it, needs the PIN.
    """
    need("softhsm2-util", "p11tool", "modutil", "pkcs11-tool", ENGINE)
    folder.mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    token = Token({"SOFTHSM2_CONF": str(settings), "GNUTLS_PIN": PIN})
    public = folder / "public.pem"
    _run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], {})
    make = ["softhsm2-util", "--init-token", "--free", "--label", "e-Cert", "--so-pin", "12345678", "--pin", PIN]
    _run(make, token.environment)
    # NSS looks for the public key to see whether a certificate on a locked token has a private one.
    for kind, file in (("privkey", key), ("pubkey", public), ("certificate", certificate)):
        write = ["p11tool", "--provider", MODULE, "--login", "--no-mark-private", "--write"]
        _run([*write, f"--load-{kind}", str(file), "--label", "e-Cert", "--id", "01", _URL], token.environment)
    return token


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
