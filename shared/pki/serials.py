"""Certificate serial numbers: one canonical form for all spellings."""

import re
from typing import Final

from shared.errors import Refused
from shared.validation import texts

_LABEL: Final = r"(?:serial(?: number)?\s*[=:]\s*)?"
_SERIAL: Final = re.compile(_LABEL + r"(?:0x)?([0-9a-f]+(?:[: -][0-9a-f]+)*)", re.IGNORECASE)
# openssl prints short numbers in decimal first.
_BOTH: Final = re.compile(_LABEL + r"[0-9]+ \(0x([0-9a-f]+)\)", re.IGNORECASE)
_MAX_LENGTH: Final = 100


class SerialUnreadable(Refused):
    """The text is not a serial number in any known spelling."""

    reason = "serial-unreadable"


def read_serial(text: str) -> str:
    """Return a serial number in canonical form, from any spelling: `0A:1B`, `0a 1b`, `serial=0A1B`, `Serial Number: …`.

    The form is hexadecimal in lower case without leading zeros. Raises SerialUnreadable.
    """
    if len(text) > _MAX_LENGTH:
        raise SerialUnreadable("too long for a serial number")
    text = texts.visible(text).strip()
    match = _SERIAL.fullmatch(text) or _BOTH.fullmatch(text)
    if match is None:
        raise SerialUnreadable("write it in hexadecimal, as openssl shows it")
    return f"{int(re.sub('[: -]', '', match[1]), 16):x}"
