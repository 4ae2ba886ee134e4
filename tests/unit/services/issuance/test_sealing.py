"""A sealed letter opens with the print key and with no other."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from services.issuance.domain import Recipient
from services.issuance.pins import envelope_encryption
from shared.vocabulary import Language
from tests.unit.services.issuance.csr.csrs import rsa_key
from tests.unit.services.issuance.pki import NOW, ca_name

LETTER = envelope_encryption.Letter(
    renewal_id=UUID(int=1),
    item_id=UUID(int=2),
    envelope_id=UUID(int=3),
    reference="R-1",
    server_name="www.example.hk",
    pin="1234567890123456",
    recipient=Recipient(name="陳大文", organisation="例子有限公司", address=("1 Queen's Road", "Hong Kong")),
    language=Language.TRADITIONAL_CHINESE,
)


def certificate(bits: int = 3072) -> x509.Certificate:
    key = rsa_key(bits, 9)
    return (
        x509.CertificateBuilder()
        .subject_name(ca_name("PIN print"))
        .issuer_name(ca_name("PIN print"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def test_print_key_opens_the_letter() -> None:
    sealed = envelope_encryption.seal(LETTER, certificate())
    assert LETTER.pin.encode() not in sealed
    opened = json.loads(pkcs7.pkcs7_decrypt_der(sealed, certificate(), rsa_key(3072, 9), []))
    assert opened == {
        "renewal_id": str(UUID(int=1)),
        "item_id": str(UUID(int=2)),
        "envelope_id": str(UUID(int=3)),
        "reference": "R-1",
        "server_name": "www.example.hk",
        "pin": "1234567890123456",
        "recipient": {
            "name": "陳大文",
            "organisation": "例子有限公司",
            "address": ["1 Queen's Road", "Hong Kong"],
        },
        "language": "zh-Hant",
    }


def test_letter_never_shows_its_pin_in_a_log() -> None:
    assert LETTER.pin not in repr(LETTER) + str(LETTER)
    assert replace(LETTER, pin="x").pin == "x"


def test_small_print_key_is_refused() -> None:
    pem = certificate(2048).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ValueError, match="3072"):
        envelope_encryption.load_print_certificate(pem)
    assert envelope_encryption.load_print_certificate(certificate().public_bytes(serialization.Encoding.PEM))
