"""Cells of CSV files that people open in spreadsheet programs, which evaluate text that looks like a formula."""

import unicodedata
from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "'")
# Control and format characters, blanks and separators: programs skip them in front of a formula.
_SKIPPED: Final = ("C", "Z")


def text_cell(text: str) -> str:
    """Return the text, behind an apostrophe if a spreadsheet program could take it for a formula.

    The first character that shows decides, in its compatibility form (NFKC): programs trim blanks, and East Asian
    editions read full-width `＝` as `=`. A leading control character or blank that is not a space is escaped as well.
    """
    shown = unicodedata.normalize("NFKC", text)
    start = next((c for c in shown if not unicodedata.category(c).startswith(_SKIPPED)), "")
    return f"'{text}" if start in _FORMULA or text[:1] in ("\t", "\r", "\n") else text
