"""A letter with good defaults, and a print key to seal it to."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from services.mailing.domain import Letter
from shared.vocabulary import ItemId, RenewalId

PIN: Final = "4F7KQ9XM2CDW8HTR"


def a_letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "renewal_id": RenewalId(uuid.UUID("0197f5c2-0000-7000-8000-000000000001")),
        "item_id": ItemId(uuid.UUID("0197f5c2-0000-7000-8000-000000000002")),
        "envelope_id": uuid.UUID("0197f5c2-0000-7000-8000-000000000003"),
        "reference": "R26-000123-1",
        "server_name": "*.secure.example.com.hk",
        "pin": PIN,
        "recipient_name": "Ms CHAN Tai Man 陳大文",
        "organisation": "Example Trading Company Limited 例子貿易有限公司",
        "address": ("Flat B, 12/F, 𨋢 Building", "88 Apliu Street 鴨寮街", "Sham Shui Po 深水埗", "Hong Kong"),
    }
    return Letter(**values | changes)


@cache
def a_print_key(name: str = "print") -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def sealed_content(letter: Letter) -> dict[str, Any]:
    return {
        "renewal_id": str(letter.renewal_id),
        "item_id": str(letter.item_id),
        "envelope_id": str(letter.envelope_id),
        "reference": letter.reference,
        "server_name": letter.server_name,
        "pin": letter.pin,
        "recipient": {
            "name": letter.recipient_name,
            "organisation": letter.organisation,
            "address": list(letter.address),
        },
        "language": letter.language,
    }


def seal(content: object, certificate: x509.Certificate) -> bytes:
    """Return the letter as issuance seals it."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data).add_recipient(certificate)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
