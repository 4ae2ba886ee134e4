"""Print key: opens sealed PINs. Only the print process loads it."""

import uuid
from pathlib import Path
from typing import Self

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs7

from services.mailing.domain import Letter
from services.mailing.refusals import EnvelopeUnusable
from shared.vocabulary import ItemId, Language, RenewalId


class _Recipient(msgspec.Struct):
    name: str
    organisation: str
    address: list[str]


class _Sealed(msgspec.Struct):
    renewal_id: uuid.UUID
    item_id: uuid.UUID
    envelope_id: uuid.UUID
    reference: str
    server_name: str
    pin: str
    recipient: _Recipient
    # PINs that were sealed before letters had a language are in English.
    language: Language = Language.ENGLISH


class PrintKey:
    """The key to which PIN Envelopes are sealed, with its certificate."""

    def __init__(self, key: RSAPrivateKey, certificate: x509.Certificate) -> None:
        if key.public_key() != certificate.public_key():
            raise ValueError("the print key and the print certificate do not belong together")
        self._key = key
        self._certificate = certificate

    @classmethod
    def load(cls, key_file: Path, certificate_file: Path) -> Self:
        """Load the key from PEM files."""
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("the print key must be an RSA key")
        return cls(key, x509.load_pem_x509_certificate(certificate_file.read_bytes()))

    def open(self, sealed: bytes) -> Letter:
        """Decrypt a sealed PIN (CMS EnvelopedData, DER). Errors never quote it."""
        try:
            content = pkcs7.pkcs7_decrypt_der(sealed, self._certificate, self._key, [])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise EnvelopeUnusable("it is not sealed to our print key") from error
        try:
            data = msgspec.json.decode(content, type=_Sealed)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise EnvelopeUnusable("its content is not what a PIN Envelope needs") from None
        if not (4 <= len(data.pin) <= 40 and data.pin.isascii() and data.pin.isprintable() and " " not in data.pin):
            raise EnvelopeUnusable("its PIN could not be read on paper")
        return Letter(
            renewal_id=RenewalId(data.renewal_id),
            item_id=ItemId(data.item_id),
            envelope_id=data.envelope_id,
            reference=data.reference,
            server_name=data.server_name,
            pin=data.pin,
            recipient_name=data.recipient.name,
            organisation=data.recipient.organisation,
            address=tuple(data.recipient.address),
            language=data.language,
        )
