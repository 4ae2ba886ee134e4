"""Cells of CSV files for spreadsheet programs, which evaluate text that looks like a formula."""

import unicodedata
from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "'")
# Control and format characters, blanks and separators: programs skip them before a formula.
_SKIPPED: Final = ("C", "Z")


def text_cell(text: str) -> str:
    """Return the text, prefixed by an apostrophe if a spreadsheet program could take it for a formula.

    The first visible character decides, in its compatibility form (NFKC): programs trim blanks, and East Asian editions
    read full-width `＝` as `=`. A leading control character or blank other than a space is escaped as well.
    """
    shown = unicodedata.normalize("NFKC", text)
    start = next((c for c in shown if not unicodedata.category(c).startswith(_SKIPPED)), "")
    return f"'{text}" if start in _FORMULA or text[:1] in ("\t", "\r", "\n") else text
