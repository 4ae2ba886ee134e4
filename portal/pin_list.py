"""PINs pasted as a list: a line for each, with server name and PIN, or the PINs alone in the order of the names.

Nothing of a list is taken unless all of it can be: a PIN beside another name would cost one of that PIN's attempts. An
error names the line, never the PIN.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.pki.names import NameRefused, server_name

# More than the largest order's names, each with the longest name and a PIN.
_MAX_LENGTH: Final = 192 * 1024
# A name, then a tab, a space or another separator; PINs are digits with spaces or dashes.
_NAMED: Final = re.compile(r"([^\s,;:=\"']*[^\W\d_][^\s,;:=\"']*)[\s,;:=\"']*(.*)")


class Fault(StrEnum):
    """Reasons for not taking a list."""

    MIXED = "mixed"
    UNKNOWN_NAME = "unknown-name"
    TWICE = "twice"
    NO_PIN = "no-pin"
    COUNT = "count"
    TOO_LONG = "too-long"


class ListRefused(Exception):
    """The list cannot be taken; `number` is that of the line, or of the PINs if their count is wrong."""

    def __init__(self, fault: Fault, number: int = 0) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.number = number


@dataclass(frozen=True, kw_only=True)
class PINList:
    """A PIN by server name. Without names in it, the list says nothing about whether its order is right."""

    pins: dict[str, str]
    named: bool


def read(text: str, server_names: Sequence[str]) -> PINList:
    """Return the PINs of a list. Raises ListRefused."""
    if len(text) > _MAX_LENGTH:
        raise ListRefused(Fault.TOO_LONG)
    lines = [(number, line.strip(" \t,;\"'")) for number, line in enumerate(text.splitlines(), start=1)]
    matches = [(number, line, _NAMED.fullmatch(line)) for number, line in lines if line]
    if not any(match for _, _, match in matches):
        if len(matches) != len(server_names):
            raise ListRefused(Fault.COUNT, len(matches))
        return PINList(pins=dict(zip(server_names, (line for _, line, _ in matches), strict=True)), named=False)
    pins: dict[str, str] = {}
    for number, _, match in matches:
        if match is None:
            raise ListRefused(Fault.MIXED, number)
        name = _own(match[1], server_names, number)
        if name in pins:
            raise ListRefused(Fault.TWICE, number)
        if not match[2]:
            raise ListRefused(Fault.NO_PIN, number)
        pins[name] = match[2]
    return PINList(pins=pins, named=True)


def _own(text: str, server_names: Sequence[str], number: int) -> str:
    if text.lower() in server_names:
        return text.lower()
    try:
        name = server_name(text)
    except NameRefused:
        name = ""
    if name not in server_names:
        raise ListRefused(Fault.UNKNOWN_NAME, number)
    return name
