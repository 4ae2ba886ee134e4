"""Text of people and their programs: whatever encoding it came in, and without what nobody sees.

PowerShell writes UTF-16, editors put a byte order mark first, web pages and mail programs add zero-width characters,
other dashes and blanks that are none. Every upload is decoded here, and everything that a person types to be compared
is read here.
"""

import codecs
import unicodedata
from typing import Final

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HEAD: Final = 64
_MINUS: Final = "\N{MINUS SIGN}"
# The dash of Japanese text, which input methods give for a hyphen beside full-width digits.
_LONG_SOUND: Final = "\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}"


def encoding_of(head: bytes) -> str:
    """The encoding of a text that begins so; of a file, its first HEAD bytes will do."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    if len(head) > 1:  # ASCII in UTF-16 without a mark: every other byte is zero
        if not any(head[1:HEAD:2]):
            return "utf-16-le"
        if not any(head[0:HEAD:2]):
            return "utf-16-be"
    return "utf-8"


def decode(raw: bytes, errors: str = "strict") -> str:
    """The text of a file, in UTF-8, UTF-16 or UTF-32, marked or not. Raises UnicodeDecodeError."""
    return raw.decode(encoding_of(raw), errors)


def visible(text: str) -> str:
    """The text as it looks: compatibility forms folded, no format characters, one kind of dash, blank and line end.

    Character by character: the normal form of a whole text takes a time that grows with the square of its marks.
    """
    return text.replace("\r\n", "\n").translate(_Visible())


def typed(text: str) -> str:
    """Return typed text to be compared with what we printed: as it looks, without blanks, in capitals."""
    return "".join(visible(text).replace(_LONG_SOUND, "-").split()).upper()


def compact(text: str) -> str:
    """Return typed text, without dashes either: a PIN, a registered number, an SRN, a digest."""
    return typed(text).replace("-", "")


def reference(text: str) -> str:
    """A reference number as we print it, such as E-ABCDEFGHIJ, however it was typed."""
    plain = compact(text)
    return f"{plain[:1]}-{plain[1:]}"


class _Visible(dict[int, str]):
    """Table of characters, filled as they occur; one for each text, so that no text can make it grow for ever."""

    def __missing__(self, code: int) -> str:
        self[code] = found = "".join(map(_seen, unicodedata.normalize("NFKC", chr(code))))
        return found


def _seen(character: str) -> str:
    match unicodedata.category(character):
        case "Cf":
            return ""
        case "Pd":
            return "-"
        case "Zs":
            return " "
        case "Zl" | "Zp":
            return "\n"
    if character == _MINUS:
        return "-"
    return "\n" if character in "\r\x85\x0b\x0c" else character
