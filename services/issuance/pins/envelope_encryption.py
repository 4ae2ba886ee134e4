"""Encryption of a PIN and its recipient to the print key: nothing between issuance and the printer can decrypt it."""

import json
from dataclasses import dataclass
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import pkcs7

from services.issuance.domain import Recipient
from shared.vocabulary import Language


@dataclass(frozen=True, kw_only=True)
class Letter:
    """Data that the print process needs for a PIN Envelope. Never log it: its repr shows the PIN."""

    renewal_id: UUID
    item_id: UUID
    envelope_id: UUID
    reference: str
    server_name: str
    pin: str
    recipient: Recipient
    language: Language

    def __repr__(self) -> str:
        return f"Letter(envelope_id={self.envelope_id})"


def load_print_certificate(pem: bytes) -> x509.Certificate:
    """Return the print process's certificate. Raises ValueError unless its key is RSA of 3072 bits or more."""
    certificate = x509.load_pem_x509_certificate(pem)
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 3072:
        raise ValueError("print certificate: not RSA of at least 3072 bits")
    return certificate


def seal(letter: Letter, certificate: x509.Certificate) -> bytes:
    """Return CMS EnvelopedData (DER) with AES-256-CBC for the one recipient."""
    return (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(_content(letter))
        .add_recipient(certificate)
        .set_content_encryption_algorithm(algorithms.AES256)
        .encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )


def _content(letter: Letter) -> bytes:
    return json.dumps(
        {
            "renewal_id": str(letter.renewal_id),
            "item_id": str(letter.item_id),
            "envelope_id": str(letter.envelope_id),
            "reference": letter.reference,
            "server_name": letter.server_name,
            "pin": letter.pin,
            "recipient": {
                "name": letter.recipient.name,
                "organisation": letter.recipient.organisation,
                "address": list(letter.recipient.address),
            },
            "language": letter.language,
        },
        ensure_ascii=False,
    ).encode()
