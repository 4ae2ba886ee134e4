"""Identifiers of certificates in questions for their suggested windows (RFC 9773, 4.1)."""

import base64
import binascii
from typing import Final

# Key identifiers have 20 bytes, serial numbers 20 at most (RFC 5280, 4.1.2.2), with a sign byte 21.
MAX_ID: Final = 64


class NoCertificateId(ValueError):
    """The text is no identifier of a certificate of this CA."""


def certificate_id(key_identifier: bytes, serial: int) -> str:
    """Return the identifier (RFC 9773, 4.1): its issuer's key identifier and the DER bytes of its serial number."""
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{_encode(key_identifier)}.{_encode(number)}"


def serial_of(text: str, key_identifier: bytes) -> str:
    """Return the serial number, in hexadecimal as it is stored, of an identifier. Raises NoCertificateId."""
    issuer, dot, number = text.partition(".")
    try:
        if not dot or len(text) > MAX_ID or _decode(issuer) != key_identifier:
            raise NoCertificateId("not of this CA")
        serial = int.from_bytes(_decode(number), "big", signed=True)
    except (ValueError, binascii.Error) as error:
        raise NoCertificateId("unreadable") from error
    if serial <= 0 or certificate_id(key_identifier, serial) != text:
        raise NoCertificateId("not in the one form that is allowed")
    return f"{serial:x}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
