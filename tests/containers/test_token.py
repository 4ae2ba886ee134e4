"""issuance's image with an HSM's client in it, as production's issuance-work has it: read-only, as nobody."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization

from deploy.images.build import name
from deploy.local.installation import ROOT
from tests.containers.conftest import Built
from tests.support import softhsm
from tests.unit.services.issuance.csr.csrs import rsa_key
from tests.unit.services.issuance.pki import issuing_ca

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
IMAGE: Final = "localhost/ecert/issuance-hsm:test"
USER: Final = 65532
# What SoftHSM needs of its system and the base may lack.
LIBRARIES: Final = ("libstdc++.so.6", "libgcc_s.so.1")
SIGN: Final = """
import pathlib, sys
from cryptography import x509
from services.issuance.settings import CAToken
from services.issuance.ca.pkcs11_signer import TokenSigner
place = CAToken(
    module_file=pathlib.Path("/opt/hsm/lib/libpkcs11.so"), label="ecert-ca", object_label="issuing",
    pin_file=pathlib.Path("/etc/ecert/ca-key/pin"),
)
ca = x509.load_pem_x509_certificate(pathlib.Path("/etc/ecert/ca/ca.pem").read_bytes())
sys.stdout.write(TokenSigner(place, ca.public_key()).sign(b"to be signed").hex())
"""


@pytest.fixture(scope="module")
def image(built: Built, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built as its Dockerfile says, SoftHSM's files in the place of the maker's."""
    assert softhsm.is_there(), softhsm.MISSING
    folder = tmp_path_factory.mktemp("hsm")
    system = folder / "client" / "usr" / "lib" / "x86_64-linux-gnu"
    module = folder / "client" / "opt" / "hsm" / "lib"
    for place in (system, module):
        place.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "images" / "hsm" / "Dockerfile", folder)
    shutil.copy(softhsm.MODULE, module / "libpkcs11.so")
    for library in LIBRARIES:
        shutil.copy(Path("/usr/lib/x86_64-linux-gnu") / library, system)
    built.engine.build(IMAGE, folder, [("ISSUANCE", name("issuance"))])
    return IMAGE


def test_token_in_a_container_signs_like_the_software_key(built: Built, image: str, tmp_path: Path) -> None:
    ca, software = issuing_ca()
    softhsm.put(rsa_key(3072, 7), tmp_path)
    # SoftHSM keeps its tokens in files, and locks them.
    told = softhsm.environment(tmp_path)
    for each in (tmp_path, *tmp_path.rglob("*")):
        os.chown(each, USER, USER)
    (tmp_path / "ca.pem").write_bytes(ca.certificate.public_bytes(serialization.Encoding.PEM))
    mounts = {
        tmp_path: tmp_path,
        tmp_path / "pin": "/etc/ecert/ca-key/pin:ro",
        tmp_path / "ca.pem": "/etc/ecert/ca/ca.pem:ro",
    }
    options = [part for inside, outside in mounts.items() for part in ("-v", f"{inside}:{outside}")]
    options += [part for variable, value in told.items() for part in ("--env", f"{variable}={value}")]
    options += ["--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"]
    options += ["--entrypoint", "/app/venv/bin/python"]
    done = subprocess.run(
        built.engine.command(*options, image, "-c", SIGN), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rpartition("\n")[2] == software.sign(b"to be signed").hex()
