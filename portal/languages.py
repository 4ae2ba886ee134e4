"""Languages of the portal and text mode, chosen by the address; translations by gettext, dates and money by Babel."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, cast

import flask
from babel import Locale, dates, numbers
from babel.support import NullTranslations
from werkzeug.routing import BaseConverter

from shared import i18n
from shared.vocabulary import HONG_KONG

CATALOGS: Final = Path(__file__).parent / "translations"


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language of the portal. `tag` is its name in HTML and in the API, `path` its name in addresses."""

    path: str
    tag: str
    locale: str
    name: str


ENGLISH: Final = Language(path="en", tag="en", locale="en_HK", name="English")
TRADITIONAL: Final = Language(path="zh-hant", tag="zh-Hant", locale="zh_Hant_HK", name="繁體中文")
SIMPLIFIED: Final = Language(path="zh-hans", tag="zh-Hans", locale="zh_Hans_HK", name="简体中文")
LANGUAGES: Final = (ENGLISH, TRADITIONAL, SIMPLIFIED)
_BY_PATH: Final = {language.path: language for language in LANGUAGES}
# The language tags that browsers send; Babel's own negotiation does not know zh-HK.
_ACCEPTED: Final[Mapping[str, Language]] = {
    "en": ENGLISH,
    **dict.fromkeys(("zh-hant", "zh-hk", "zh-tw", "zh-mo", "yue"), TRADITIONAL),
    **dict.fromkeys(("zh-hans", "zh-cn", "zh-sg", "zh"), SIMPLIFIED),
}


@dataclass(frozen=True)
class Edition:
    """A language, in full or in text mode: the first part of every page's address."""

    language: Language
    text: bool = False

    def __str__(self) -> str:
        return f"{self.language.path}/text" if self.text else self.language.path


class EditionConverter(BaseConverter):
    """Address converter for `en`, `zh-hant/text` and so on."""

    regex = r"(?:en|zh-hant|zh-hans)(?:/text)?"
    part_isolating = False

    def to_python(self, value: str) -> Edition:
        path, _, text = value.partition("/")
        return Edition(_BY_PATH[path], text=bool(text))

    def to_url(self, value: Any) -> str:
        return str(value)


def edition_of(path: str) -> Edition | None:
    """Return the language and mode at the beginning of an address, if there is one."""
    first, second = (*path.removeprefix("/").split("/"), "")[:2]
    return Edition(_BY_PATH[first], text=second == "text") if first in _BY_PATH else None


def edition() -> Edition:
    """Return the language and mode of this request."""
    return cast(Edition, flask.g.get("edition") or Edition(ENGLISH))


def negotiate(accepted: list[str]) -> Language:
    """Return the first of the browser's languages that the portal has."""
    for tag in accepted:
        parts = tag.lower().replace("_", "-").split("-")
        for length in range(len(parts), 0, -1):
            if (found := _ACCEPTED.get("-".join(parts[:length]))) is not None:
                return found
    return ENGLISH


def translations(language: Language) -> NullTranslations:
    """Return the translations of a language."""
    return i18n.translations(CATALOGS, language.locale)


def gettext(text: str, **values: object) -> str:
    """Return the text in this request's language, with its placeholders filled."""
    found: str = translations(edition().language).gettext(text)
    return found % values if values else found


def N_(text: str) -> str:
    """Mark a text for translation where it is shown."""
    return text


def _locale() -> Locale:
    return Locale.parse(edition().language.locale)


def money(amount_minor: int, currency: str = "HKD") -> str:
    """Return an amount, formatted."""
    return numbers.format_currency(amount_minor / 100, currency, locale=_locale())


def day(value: str | date) -> str:
    """Return a date, formatted; of a time, its date in Hong Kong."""
    if isinstance(value, str):
        value = moment(value).date() if "T" in value else date.fromisoformat(value)
    return dates.format_date(value, "long", locale=_locale())


def clock(value: str) -> str:
    """Return a time in Hong Kong, formatted."""
    return dates.format_datetime(
        moment(value), "d MMM y, HH:mm" if _is_english() else "y年M月d日 HH:mm", locale=_locale()
    )


def moment(value: str) -> datetime:
    """Return the time of an API's time stamp, in Hong Kong."""
    return datetime.fromisoformat(value).astimezone(HONG_KONG)


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def _is_english() -> bool:
    return edition().language is ENGLISH
