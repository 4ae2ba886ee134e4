"""Translations: gettext catalogs, and the English texts in the sources, which each catalog must contain."""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

SOURCE: Final = "en_HK"


def catalog(folder: Path, locale: str) -> Path:
    """Return the path of a locale's catalog; explicit, because Babel falls back from zh_Hant_HK to nothing."""
    return folder / locale / "LC_MESSAGES" / "messages.po"


@cache
def translations(folder: Path, locale: str) -> NullTranslations:
    """Return a locale's translations, compiled in memory: a compiled file could be older than its source."""
    if locale == SOURCE:
        return NullTranslations()
    compiled = BytesIO()
    with catalog(folder, locale).open("rb") as file:
        write_mo(compiled, read_po(file, locale=locale))
    compiled.seek(0)
    return Translations(compiled)


def texts(folder: Path, *, templates: str) -> set[str]:
    """Return all English texts that the Python files and Jinja templates of a folder mark with _, N_ or gettext."""
    found = extract_from_dir(
        folder,
        [(templates, "jinja2"), ("**.py", "python")],
        {templates: {"trimmed": "true"}},
        keywords={"_": None, "N_": None, "gettext": None},
    )
    return {message for _, _, message, _, _ in found if isinstance(message, str)}
