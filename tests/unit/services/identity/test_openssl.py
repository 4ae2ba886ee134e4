"""Signatures made by the openssl command, as an AR's own tools make them."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.identity.cms import verify
from services.identity.refusals import SignatureFault, SignatureRefused
from shared.tx import utc_now
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import Holder, Leaf, issue, world
from tests.unit.services.identity.cms_builder import DOCUMENT


def openssl_cms(folder: Path, holder: Holder, *options: str) -> bytes:
    """Return what `openssl cms -sign` writes for the sample document."""
    (folder / "document.json").write_bytes(DOCUMENT)
    (folder / "certificate.pem").write_text(holder.pem)
    (folder / "key.pem").write_bytes(holder.key_pem)
    command = ["openssl", "cms", "-sign", "-binary", "-in", "document.json", "-out", "out", *options]
    signer = ["-signer", "certificate.pem", "-inkey", "key.pem"]
    subprocess.run([*command, *signer], cwd=folder, check=True, capture_output=True)
    return (folder / "out").read_bytes()


STANDARD = ("-outform", "DER", "-cades")
GOOD = {
    "as documented": (),
    "SHA-384": ("-md", "sha384"),
    "SHA-512": ("-md", "sha512"),
    "by key identifier": ("-keyid",),
    "without S/MIME capabilities": ("-nosmimecap",),
}
PSS = {
    "salt as long as the hash": ("-md", "sha256"),
    "longest salt": ("-md", "sha256", "-keyopt", "rsa_pss_saltlen:-2"),
}


@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD.keys())
@pytest.mark.parametrize("kind", ["rsa", "P-256", "P-384"])
def test_openssl_signatures_are_accepted(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
    key = builders.rsa_key("holder") if kind == "rsa" else builders.ec_key(f"holder {kind}", curves[kind])
    holder = issue(world().sub, Leaf(key=key))

    verified = verify(openssl_cms(tmp_path, holder, *STANDARD, *options), DOCUMENT, utc_now())

    assert verified.certificate == holder.certificate


@pytest.mark.parametrize("options", PSS.values(), ids=PSS.keys())
def test_openssl_pss_signatures_are_accepted(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "document.json").write_bytes(DOCUMENT)
    (tmp_path / "certificate.pem").write_text(world().holder.pem)
    (tmp_path / "key.pem").write_bytes(world().holder.key_pem)
    command = "openssl cms -sign -binary -in document.json -out out -outform DER -cades -signer certificate.pem"
    scheme = ["-inkey", "key.pem", "-keyopt", "rsa_padding_mode:pss", *options]
    subprocess.run([*command.split(), *scheme], cwd=tmp_path, check=True, capture_output=True)

    verify((tmp_path / "out").read_bytes(), DOCUMENT, utc_now())


BAD = {
    "document inside": ((*STANDARD, "-nodetach"), SignatureFault.NOT_DETACHED),
    "no attributes": (("-outform", "DER", "-noattr"), SignatureFault.NO_SIGNED_ATTRIBUTES),
    "not CAdES": (("-outform", "DER"), SignatureFault.SIGNING_CERTIFICATE),
    "no certificate": ((*STANDARD, "-nocerts"), SignatureFault.CERTIFICATES),
    "SHA-1": ((*STANDARD, "-md", "sha1"), SignatureFault.ALGORITHM),
    "BER stream": ((*STANDARD, "-stream", "-nodetach"), SignatureFault.NOT_DER),
    "PEM": (("-outform", "PEM", "-cades"), SignatureFault.NOT_DER),
    "S/MIME": (("-outform", "SMIME", "-cades"), SignatureFault.NOT_DER),
}


@pytest.mark.parametrize(("options", "expected"), BAD.values(), ids=BAD.keys())
def test_other_forms_of_openssl_output_are_refused(
    tmp_path: Path, options: tuple[str, ...], expected: SignatureFault
) -> None:
    signature = openssl_cms(tmp_path, world().holder, *options)

    with pytest.raises(SignatureRefused) as caught:
        verify(signature, DOCUMENT, utc_now())

    assert caught.value.fault is expected
