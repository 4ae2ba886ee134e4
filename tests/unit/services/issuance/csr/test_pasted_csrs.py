"""CSRs and private keys as people paste them: quoted, cut short, in a letter, beside each other."""

import base64
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from asn1crypto import pem
from cryptography.hazmat.primitives import serialization

from services.issuance.csr import csr
from services.issuance.csr.csr import PrivateKeyPasted
from tests.unit.services.issuance.csr.csrs import (
    PrivateKey,
    as_pem,
    csr_der,
    ec_key,
    info_of,
    private_pem,
    resigned,
    rsa_key,
)


def spki_digest(key: PrivateKey) -> bytes:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest()


def test_pasted_private_key_is_refused_and_named_for_blocking() -> None:
    key = rsa_key()
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(as_pem(csr_der(key)) + private_pem(key))
    assert refused.value.spki_sha256 == {spki_digest(key)}
    assert refused.value.reason == "csr-private-key-pasted"
    assert "PRIVATE" not in str(refused.value)


def openssh(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


def without_end(text: str) -> str:
    return text[: text.index("-----END")]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "quoted": lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
    "quoted twice": lambda text: "".join(f">> | {line}\n" for line in text.splitlines()),
    "a zero-width space": lambda text: text.replace("BEGIN", "BEG\u200bIN").replace("M", "M\u200b", 3),
    "no-break spaces": lambda text: text.replace(" ", "\xa0"),
    "typeset dashes": lambda text: text.replace("-----", "\u2014\u2013-"),
    "a mark first": lambda text: "\ufeff" + text,
    "lower case": lambda text: text.replace("BEGIN PRIVATE KEY", "begin private key"),
    "in one line": lambda text: text.replace("\n", " "),
    "of a JSON file": lambda text: text.replace("\n", "\\n"),
    "old line ends": lambda text: text.replace("\n", "\r"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", [private_pem, openssh], ids=["PKCS#8", "OpenSSH"])
def test_private_key_is_detected_in_every_pasted_form(form: Callable[[PrivateKey], str], spelling: str) -> None:
    key, spell = ec_key(), SPELLINGS[spelling]
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(spell(as_pem(csr_der(ec_key())) + form(key)))
    assert (refused.value.spki_sha256, refused.value.beside) == (frozenset({spki_digest(key)}), None)


@pytest.mark.parametrize("make", [rsa_key, ec_key])
@pytest.mark.parametrize("form", [private_pem, openssh], ids=["PKCS#8", "OpenSSH"])
def test_private_key_without_its_last_line_is_read(
    form: Callable[[PrivateKey], str], make: Callable[[], PrivateKey]
) -> None:
    key = make()
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(without_end(form(key)) + "\nRegards\nChan")
    assert refused.value.spki_sha256 == {spki_digest(key)}


@pytest.mark.parametrize(
    "private",
    [
        private_pem(ec_key(), b"secret"),
        "-----BEGIN RSA PRIVATE KEY-----\nMII",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\nAAAA\n"
        "-----END RSA PRIVATE KEY-----",
        "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: x\nAAAA",
    ],
)
def test_unreadable_private_key_names_the_csrs_key(private: str) -> None:
    key = ec_key()
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(as_pem(csr_der(key)) + private)
    assert (refused.value.spki_sha256, refused.value.beside) == (frozenset(), spki_digest(key))
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(private)
    assert (refused.value.spki_sha256, refused.value.beside) == (frozenset(), None)


def test_csr_with_an_invalid_signature_names_no_key() -> None:
    bent = resigned(info_of(csr_der()), ec_key())
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(as_pem(bent) + "-----BEGIN RSA PRIVATE KEY-----")
    assert refused.value.beside is None


@pytest.mark.parametrize("label", ["CERTIFICATE REQUEST", None])
def test_file_with_a_key_and_no_csr_is_detected(label: str | None) -> None:
    key = ec_key()
    der = pem.unarmor(private_pem(key).encode())[2]
    with pytest.raises(PrivateKeyPasted) as refused:
        csr.read(as_pem(der, label) if label else base64.b64encode(der).decode())
    assert refused.value.spki_sha256 == {spki_digest(key)}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_csr_is_read_in_every_pasted_form(spelling: str) -> None:
    der = csr_der(names=["www.example.hk"])
    assert csr.read(SPELLINGS[spelling](as_pem(der))).der == der


def test_csr_is_read_without_armour_or_last_line_and_within_text() -> None:
    der = csr_der(names=["www.example.hk"])
    text = as_pem(der)
    for sent in (
        base64.b64encode(der).decode(),
        base64.encodebytes(der).decode(),
        without_end(text),
        without_end(text) + "\nThank you -- Chan",
        f"Dear CA,\n{text}\nRegards",
        text.removesuffix("-\n"),
    ):
        assert csr.read(sent).der == der, sent


def test_text_listing_of_openssl_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "r.pem").write_text(as_pem(csr_der(common_name="www.example.hk")))
    listed = subprocess.run(
        ["openssl", "req", "-text", "-in", "r.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "Subject:" in listed.stdout
    assert csr.read(listed.stdout).common_names == ("www.example.hk",)
