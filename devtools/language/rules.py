"""Rules of the language check, and the list of words that they read."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devtools.language.texts import Kind, Text

MAX_EXCEPTIONS: Final = 10
WORDS_FILE: Final = Path(__file__).with_name("words.toml")
_LOG_EVENT: Final = re.compile(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)+")
_FIRST_WORD: Final = re.compile(r"\s*([^\s.,:;]+)")
_NO_FULL_STOP: Final = frozenset({Kind.METRIC, Kind.HELP, Kind.TITLE})
_NOUN_FIRST: Final = frozenset({Kind.MODULE, Kind.CLASS, Kind.METRIC, Kind.HELP, Kind.TITLE, Kind.STATEMENT})


@dataclass(frozen=True)
class Banned:
    """A word or phrase that is refused, and what to write instead."""

    pattern: re.Pattern[str]
    use: str


@dataclass(frozen=True)
class Exemption:
    """A text that may break a rule, with the reason."""

    path: str
    text: str
    reason: str


@dataclass(frozen=True)
class Words:
    """The list of words: where the check looks, verbs, openers, banned phrases and exceptions."""

    paths: tuple[str, ...]
    without: tuple[str, ...]
    verbs: frozenset[str]
    openers: frozenset[str]
    banned: tuple[Banned, ...]
    exceptions: tuple[Exemption, ...]


@dataclass(frozen=True)
class Finding:
    """One broken rule."""

    line: int
    rule: str
    text: str


def read_words(path: Path = WORDS_FILE) -> Words:
    """Return the list of words. Raises ValueError if it has too many exceptions."""
    data: dict[str, Any] = tomllib.loads(path.read_text())
    exceptions = tuple(Exemption(**exception) for exception in data.get("exceptions", []))
    if len(exceptions) > MAX_EXCEPTIONS:
        raise ValueError(f"{path.name} has {len(exceptions)} exceptions, at most {MAX_EXCEPTIONS} are allowed")
    return Words(
        paths=tuple(data["paths"]),
        without=tuple(data["without"]),
        verbs=frozenset(data["verbs"].split()),
        openers=frozenset(data["openers"].split()),
        banned=tuple(
            Banned(re.compile(rf"\b(?:{each['phrase']})\b".replace(" ", r"\s+"), re.IGNORECASE), each["use"])
            for each in data["banned"]
        ),
        exceptions=exceptions,
    )


def findings_of(text: Text, words: Words) -> Iterator[Finding]:
    """Yield the rules that a text breaks."""
    yield from _first_word(text, words)
    if text.kind is Kind.LOG_EVENT and not _LOG_EVENT.fullmatch(text.text):
        yield Finding(text.line, "log event is not of the form subject.what_happened", text.text)
    if text.kind in _NO_FULL_STOP and text.text.endswith("."):
        yield Finding(text.line, f"{text.kind} ends with a full stop", text.text)
    for banned in words.banned:
        for match in banned.pattern.finditer(_words_of(text)):
            line = text.line + text.text.count("\n", 0, match.start())
            yield Finding(
                line, f"'{' '.join(match[0].split())}': write {banned.use}", _around(text.text, match.start())
            )


def _words_of(text: Text) -> str:
    """Return the text with the words of names and slugs apart."""
    words = text.text.replace("-", " ")
    return words.replace("_", " ") if text.kind in (Kind.LOG_EVENT, Kind.TEST, Kind.NAME) else words


def _first_word(text: Text, words: Words) -> Iterator[Finding]:
    if not (match := _FIRST_WORD.match(text.text)):
        return
    word = match[1]
    if text.kind is Kind.FUNCTION and word not in words.verbs:
        yield Finding(text.line, f"function docstring starts with {word!r}: start with a verb", _around(text.text, 0))
    elif text.kind in _NOUN_FIRST and word.capitalize() in words.openers:
        yield Finding(text.line, f"{text.kind} starts with {word!r}: name the thing", _around(text.text, 0))


def _around(text: str, start: int) -> str:
    line = text[text.rfind("\n", 0, start) + 1 :].split("\n", 1)[0] or text.strip().split("\n", 1)[0]
    return line.strip()
