"""Text from people and their programs, decoded from any encoding and without invisible characters.

PowerShell writes UTF-16, editors add a byte order mark, web pages and mail programs add zero-width characters, other
dashes and other blanks. Every upload is decoded here, and all typed input that is compared is normalised here.
"""

import codecs
import unicodedata
from typing import Final

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the same bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HEAD: Final = 64
_MINUS: Final = "\N{MINUS SIGN}"
# The dash of Japanese text, which input methods produce for a hyphen beside full-width digits.
_LONG_SOUND: Final = "\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}"


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text with this beginning; the first HEAD bytes of a file suffice."""
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
    """Return the text of a file, in UTF-8, UTF-16 or UTF-32, marked or not. Raises UnicodeDecodeError."""
    return raw.decode(encoding_of(raw), errors)


def visible(text: str) -> str:
    """Return the text as displayed: compatibility forms folded, no format characters, one kind of dash, blank and line
    end.

    Character by character: normalising a whole text takes time that grows with the square of its combining marks.
    """
    return text.replace("\r\n", "\n").translate(_Visible())


def typed(text: str) -> str:
    """Return typed text in the form for comparison: as displayed, without blanks, in capitals."""
    return "".join(visible(text).replace(_LONG_SOUND, "-").split()).upper()


def compact(text: str) -> str:
    """Return typed text without blanks and dashes: a PIN, a registered number, an SRN, a digest."""
    return typed(text).replace("-", "")


def reference(text: str) -> str:
    """Return a reference number in its printed form, such as E-ABCDEFGHIJ, however it was typed."""
    plain = compact(text)
    return f"{plain[:1]}-{plain[1:]}"


class _Visible(dict[int, str]):
    """Table of characters, filled on demand; one for each text, so that no text makes it grow for good."""

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
