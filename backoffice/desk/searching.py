"""Interpretation of a search text: a reference, an SRN, a server name, a serial number or a registered number."""

import re
import uuid
from dataclasses import dataclass
from typing import Final

import idna

from shared.pki.serials import SerialUnreadable, read_serial
from shared.validation import texts

MAX_LENGTH: Final = 300
_SRN_DIGITS: Final = 10
_REFERENCE: Final = re.compile(r"[A-Z][A-Z2-7]{3,10}")
_REGISTERED: Final = re.compile(r"[A-Z]{2}[0-9]{9}[A-Z]{2}")
_HOST: Final = re.compile(r"(?:https?://)?([^\s/:?#@]+)(?::[0-9]+)?(?:[/?#]\S*)?", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Sought:
    """The possible meanings of a search text; None where it has none."""

    reference: str | None = None
    srn: str | None = None
    serial: str | None = None
    server_name: str | None = None
    registered_number: str | None = None
    renewal_id: uuid.UUID | None = None


def read(text: str) -> Sought:
    """Interpret a text that was typed or pasted from an e-mail, from openssl or from a browser's address bar."""
    text = texts.visible(text[:MAX_LENGTH]).strip()
    compact = texts.compact(text)
    ids = _UUID.findall(text)
    return Sought(
        reference=_reference(compact),
        srn=f"{int(compact):0{_SRN_DIGITS}}" if compact.isascii() and compact.isdigit() and len(compact) < 19 else None,
        serial=_serial(text),
        server_name=_server_name(text),
        registered_number=compact if _REGISTERED.fullmatch(compact) else None,
        renewal_id=uuid.UUID(ids[-1]) if ids else None,
    )


def _reference(compact: str) -> str | None:
    """Return a reference number or its beginning, in the form used in e-mails."""
    return texts.reference(compact) if _REFERENCE.fullmatch(compact) else None


def _serial(text: str) -> str | None:
    try:
        return read_serial(text)
    except SerialUnreadable:
        return None


def _server_name(text: str) -> str | None:
    """Return a name or a zone in the form used in certificates: lower case, A-labels, without a wildcard."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    host = match[1].removeprefix("*.").strip(".").lower()
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return None
    return name if "." in name else None
