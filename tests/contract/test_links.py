"""Pointers of the documents: files, folders and functions that they name exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/events/*.md")])
FOLDERS = "shared|services|portal|perspective|backoffice|deploy|devtools|docs|tests|benchmarks|requirements"
# `folder/file`, or `folder/file.py:function`.
POINTER = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)(?::(\w+))?`")


def pointers(document: Path) -> Iterator[tuple[str, str]]:
    return ((found[1], found[2] or "") for found in POINTER.finditer(document.read_text("utf-8")))


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the functions, methods, classes and constants of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return frozenset(names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_in_documents_exist(document: Path) -> None:
    for path, name in pointers(document):
        # SERVICE stands for any of them; a decision may be named by its number alone.
        found = [*ROOT.glob(path.replace("SERVICE", "*")), *ROOT.glob(f"{path}-*.md")]
        assert found, path
        assert not name or name in names_in(ROOT / path), f"{path}:{name}"


@pytest.mark.parametrize("name", ["architecture.md", "issuance-cycle.md"])
def test_documents_of_the_code_name_functions(name: str) -> None:
    assert len([function for _, function in pointers(ROOT / "docs" / name) if function]) > 10
