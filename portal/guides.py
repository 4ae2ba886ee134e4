"""Guides: sentences with their commands or files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A sentence (in English, to be translated), with its command or file."""

    text: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A guide for one task. `tried` is false if its commands are not tested."""

    key: str
    title: str
    steps: tuple[Step, ...]
    tried: bool = True
