"""Guides: sentences with the commands or files they are about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A sentence (in English, to be translated) and what belongs to it."""

    text: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Guide:
    """One way to do something. `tried` is false where nobody could try it here."""

    key: str
    title: str
    steps: tuple[Step, ...]
    tried: bool = True
