"""What somebody may mean by what they type: a reference, an SRN, a server name, a serial or a registered number."""

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
    """Everything that a text may stand for; None where it cannot."""

    reference: str | None = None
    srn: str | None = None
    serial: str | None = None
    server_name: str | None = None
    registered_number: str | None = None
    renewal_id: uuid.UUID | None = None


def read(text: str) -> Sought:
    """Read what was typed or pasted, from a mail, from openssl, from a browser's address line."""
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
    """The whole reference or its beginning, as our mails write it."""
    return texts.reference(compact) if _REFERENCE.fullmatch(compact) else None


def _serial(text: str) -> str | None:
    try:
        return read_serial(text)
    except SerialUnreadable:
        return None


def _server_name(text: str) -> str | None:
    """A name or a zone as certificates carry it: lower case, A-labels; without its wildcard."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    host = match[1].removeprefix("*.").strip(".").lower()
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return None
    return name if "." in name else None
