"""Characters that the PIN Envelope's fonts contain: generates `shared/validation/printable_characters.txt`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTCollection

from services.mailing.letters.pin_envelope import DEFAULT_FONTS

CHARACTERS: Final = Path("shared/validation/printable_characters.txt")
_FAMILIES: Final = ("Noto Sans CJK HK", "Noto Sans CJK SC")
# From Libertinus Serif, which the typesetter contains, and which the template names second.
_LATIN_EXTENDED_A: Final = range(0x0100, 0x0180)


def text() -> str:
    """Return the file: a range of code points a line, both ends included, in hexadecimal."""
    fonts = TTCollection(DEFAULT_FONTS / "NotoSansCJK-Regular.ttc").fonts
    covered = [set(font.getBestCmap()) for font in fonts if font["name"].getDebugName(4) in _FAMILIES]
    assert len(covered) == len(_FAMILIES)
    return "".join(
        f"{first:04X}-{last:04X}\n" for first, last in _ranges({*covered[0] & covered[1], *_LATIN_EXTENDED_A})
    )


def _ranges(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    first = last = None
    for number in sorted(numbers):
        if first is not None and last is not None and number != last + 1:
            yield first, last
            first = None
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        yield first, last
