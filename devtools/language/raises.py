"""Exceptions that docstrings name after "Raises": each is a class of the code, or one that the code names."""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from devtools.language.rules import Finding
from devtools.language.texts import Text

_RAISES: Final = re.compile(r"\b[Rr]aises\s+([^;:()]*)")
_WORD: Final = re.compile(r"[\w.']+")
_BETWEEN: Final = frozenset({"a", "an", "and", "either", "or"})
_CLASS: Final = re.compile(r"[A-Z]\w*[a-z]\w*")


def names_of(files: Iterable[Path]) -> frozenset[str]:
    """Return the names by which modules can raise an exception: their classes, imports and attributes, and builtins."""
    names = set(dir(builtins))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.ClassDef(name=name) | ast.alias(name=name) | ast.Attribute(attr=name):
                    names.add(name)
    return frozenset(names)


def unknown_exceptions(text: Text, names: frozenset[str]) -> Iterator[Finding]:
    """Yield the exceptions after "Raises" that no code has."""
    for match in _RAISES.finditer(text.text):
        line = text.line + text.text.count("\n", 0, match.start())
        for name in _listed(match[1]):
            if name not in names:
                yield Finding(line, "docstring names an exception that does not exist", name)


def _listed(after: str) -> Iterator[str]:
    """Yield the class names with which the text begins: `A, B or module.C if …` gives A, B and C."""
    for word in _WORD.findall(after):
        name = word.rstrip(".").rpartition(".")[2]
        if _CLASS.fullmatch(name):
            yield name
        elif word not in _BETWEEN:
            return
        if word.endswith("."):
            return
