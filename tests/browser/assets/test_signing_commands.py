"""The commands that the signing page shows make signatures that identity accepts: with files, old files and a token."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

import pytest
from asn1crypto import tsp
from cryptography.hazmat.primitives.serialization import Encoding

from portal.guides import Guide
from portal.signing_guides import guides
from services.identity.cms import verify
from shared.tx import utc_now
from tests.browser import token
from tests.browser.assets import files, terminal
from tests.unit.services.identity.builders import Holder, world

DOCUMENT: Final = '{"purpose":"hk.ecert.renewal-application.v1","name":"海港燈飾"}'.encode()
FILE, SIGNATURE = "renewal-R-7KQ2.json", "renewal-R-7KQ2.p7s"
PIN: Final = "of the file"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Path of the downloaded document."""
    (tmp_path / FILE).write_bytes(DOCUMENT)
    return tmp_path


def guide(key: str) -> Guide:
    (found,) = [each for each in guides(FILE, SIGNATURE) if each.key == key]
    assert found.tried
    return found


def run(command: str, folder: Path, *answers: tuple[str, str]) -> None:
    status, shown = terminal.run(command, folder, answers)
    assert status == 0, shown


def assert_signed_by(holder: Holder, folder: Path) -> None:
    assert verify((folder / SIGNATURE).read_bytes(), DOCUMENT, utc_now()).certificate == holder.certificate


def test_e_cert_file_signs_unconverted(folder: Path) -> None:
    holder = world().holder
    (folder / "e-cert.p12").write_bytes(files.modern(holder, world(), PIN))
    run(guide("openssl").steps[0].code, folder, *[("pass phrase", PIN)] * 2)
    assert_signed_by(holder, folder)
    assert {path.name for path in folder.iterdir()} == {FILE, SIGNATURE, "e-cert.p12"}


@pytest.mark.parametrize("options", [("-legacy",), ("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES")])
def test_old_e_cert_file_signs_unconverted_or_converted(folder: Path, options: tuple[str, ...]) -> None:
    holder = world().holder
    files.by_openssl(holder, folder, *options).rename(folder / "e-cert.p12")
    direct, takes_out, puts_in = (step.code for step in guide("old-file").steps)
    old, between = ("pass phrase", files.PLAIN_PASSWORD), "for the file between"
    run(direct, folder, old, old)
    assert_signed_by(holder, folder)
    (folder / SIGNATURE).unlink()
    run(takes_out, folder, ("Import Password", files.PLAIN_PASSWORD), *[("PEM pass phrase", between)] * 2)
    run(puts_in, folder, ("pass phrase", between), *[("Export Password", PIN)] * 2)
    (folder / "new-e-cert.p12").replace(folder / "e-cert.p12")
    run(guide("openssl").steps[0].code, folder, *[("pass phrase", PIN)] * 2)
    assert_signed_by(holder, folder)


@pytest.fixture
def holder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """Holder of the e-Cert on the plugged-in token."""
    home, holder = tmp_path_factory.mktemp("token"), world().holder
    (home / "key.pem").write_bytes(holder.key_pem)
    (home / "certificate.pem").write_text(holder.pem)
    plugged_in = token.create(home / "token", home / "key.pem", home / "certificate.pem")
    for name, value in plugged_in.environment.items():
        monkeypatch.setitem(os.environ, name, value)
    return holder


def test_token_signs_through_its_pkcs11_module(folder: Path, holder: Holder) -> None:
    install, module, *commands = (step.code for step in guide("token").steps)
    assert install.startswith("sudo apt install ")
    here = re.sub(r'"/.*"', f'"{token.MODULE}"', module)
    status, listed = terminal.run("\n".join([here, commands[0]]), folder, [])
    assert (status, "ID:         01" in listed) == (0, True)
    run("\n".join([here, *commands]), folder, ("PIN", token.PIN))
    assert_signed_by(holder, folder)


def test_powershell_command_adds_the_signing_certificate_attribute() -> None:
    (windows,) = [each for each in guides(FILE, SIGNATURE) if each.key == "windows"]
    code = windows.steps[0].code
    assert not windows.tried
    (head,) = re.findall(r"\[byte\[\]\]\(\(([0-9a-fx,]+)\) \+ \$hash\)", code)
    digest = hashlib.sha256(world().holder.certificate.public_bytes(Encoding.DER)).digest()
    attribute = tsp.SigningCertificateV2.load(bytes(int(byte, 16) for byte in head.split(",")) + digest, strict=True)
    (first,) = attribute["certs"]
    assert first["cert_hash"].native == digest
    assert first["hash_algorithm"]["algorithm"].native == "sha256"
    assert {FILE in code, SIGNATURE in code, "1.2.840.113549.1.9.16.2.47" in code} == {True}
