"""Suggested window in which a certificate is to be replaced, and the identifiers that ask for it (RFC 9773)."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# A third of the validity is left when the window begins, a sixth when it ends. RFC 9773 leaves the choice to the CA.
_BEGINS: Final = 3
_ENDS: Final = 6
# Key identifiers have 20 bytes, serial numbers 20 at most (RFC 5280, 4.1.2.2), with a sign byte 21.
MAX_ID: Final = 64


class NoCertificateId(ValueError):
    """The text is no identifier of a certificate of this CA."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window, from its start to its end; clients choose a random time in it."""

    start: datetime
    end: datetime


def suggested_window(not_before: datetime, not_after: datetime, revoked_at: datetime | None) -> Window:
    """Return the suggested window of a certificate; that of a revoked one is over: replace it at once."""
    lifetime = not_after - not_before
    if revoked_at is not None:
        return Window(start=not_before, end=min(revoked_at, not_after))
    start, end = not_after - lifetime / _BEGINS, not_after - lifetime / _ENDS
    return Window(start=start.replace(microsecond=0), end=end.replace(microsecond=0))


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
