"""Characters that can be printed on a PIN Envelope: a name or address with any other could never be posted.

The ranges are those of the letter's fonts (`make docs` writes them), so that a register can refuse such a name when it
is enrolled, long before a letter is due.
"""

from bisect import bisect_right
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parent / "printable_characters.txt"


def find_unprintable(text: str) -> str | None:
    """Return the first character that no font of the PIN Envelope has, or None."""
    return next((character for character in text if not _has_font(ord(character))), None)


def _has_font(code_point: int) -> bool:
    starts, ends = _ranges()
    position = bisect_right(starts, code_point) - 1
    return position >= 0 and code_point <= ends[position]


@cache
def _ranges() -> tuple[list[int], list[int]]:
    pairs = [line.split("-") for line in _FILE.read_text("ascii").splitlines()]
    return [int(first, 16) for first, _ in pairs], [int(last, 16) for _, last in pairs]
