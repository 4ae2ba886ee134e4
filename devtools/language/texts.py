"""Texts of a file that people read: docstrings, comments, test names, help texts, messages, Markdown."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class Kind(StrEnum):
    """Kinds of text; each rule names those that it applies to."""

    MODULE = "module"
    CLASS = "class"
    FUNCTION = "function"
    # Docstrings of properties, tests and fixtures: they say what a thing is or what holds, not what to do.
    STATEMENT = "statement"
    COMMENT = "comment"
    METRIC = "metric"
    HELP = "help"
    TITLE = "title"
    LOG_EVENT = "log-event"
    TEST = "test"
    EXCEPTION = "exception"
    DOCUMENT = "document"
    # Names of functions and classes, but those of tests.
    NAME = "name"


@dataclass(frozen=True)
class Text:
    """One text, with the line on which it starts."""

    line: int
    kind: Kind
    text: str


_METRICS: Final = {"Counter", "Gauge", "Histogram", "GaugeMetricFamily", "CounterMetricFamily"}
_LOG_METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
_HELP_ARGUMENTS: Final = {"help", "description"}
_TITLE_ARGUMENT: Final = 2
_IN_CAMEL_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# A noqa or type comment is for tools.
_FOR_TOOLS: Final = re.compile(r"#\s*(noqa|type:|pragma)")
_MARKDOWN_CODE: Final = re.compile(r"^( *)```.*?^\1```|`[^`\n]*`|<!--.*?-->", re.MULTILINE | re.DOTALL)
_COMMENT_LINE: Final = re.compile(r"^\s*#(?!!).*$", re.MULTILINE)
_ANNOTATION_LINE: Final = re.compile(r"^\s*(?:- )?(?:summary|description|message|title): .*$", re.MULTILINE)


def texts_of(path: Path) -> list[Text]:
    """Return the texts of a file in line order; none if the file's type is not one that is read."""
    reader = _READERS.get(path.suffix)
    return sorted(reader(path.read_text()), key=lambda text: text.line) if reader else []


def _python(source: str) -> Iterator[Text]:
    yield from _comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstring(node)
            yield from _name(node)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                yield from _literal(argument, Kind.EXCEPTION)
        elif isinstance(node, ast.Call):
            yield from _messages(node)


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Text]:
    if (text := ast.get_docstring(node, clean=False)) is None:
        return
    if isinstance(node, ast.Module):
        kind = Kind.MODULE
    elif isinstance(node, ast.ClassDef):
        kind = Kind.CLASS
    elif node.name.startswith("test_") or any("property" in d or "fixture" in d for d in _decorators(node)):
        kind = Kind.STATEMENT
    else:
        kind = Kind.FUNCTION
    yield Text(node.body[0].lineno, kind, text)


def _name(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Text]:
    if not isinstance(node, ast.Module):
        kind = Kind.TEST if node.name.startswith("test_") else Kind.NAME
        yield Text(node.lineno, kind, _IN_CAMEL_CASE.sub("_", node.name))


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def _messages(call: ast.Call) -> Iterator[Text]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    for keyword in call.keywords:
        if keyword.arg in _HELP_ARGUMENTS and name != "Meta":
            yield from _literal(keyword.value, Kind.HELP)
    if name in _METRICS and len(call.args) > 1:
        yield from _literal(call.args[1], Kind.METRIC)
    elif name == "Problem" and len(call.args) > _TITLE_ARGUMENT:
        yield from _literal(call.args[_TITLE_ARGUMENT], Kind.TITLE)
    elif name in _LOG_METHODS and call.args and ast.unparse(call.func).startswith("log."):
        yield from _literal(call.args[0], Kind.LOG_EVENT)


def _literal(node: ast.expr, kind: Kind) -> Iterator[Text]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Text(node.lineno, kind, node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = [value.value if isinstance(value, ast.Constant) else "{}" for value in node.values]
        yield Text(node.lineno, kind, "".join(map(str, parts)))


def _comments(source: str) -> Iterator[Text]:
    """Yield the comments; those on lines of their own that follow each other are one text."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _FOR_TOOLS.match(token.string):
            continue
        row = token.start[0]
        if lines and row != first + len(lines):
            yield Text(first, Kind.COMMENT, "\n".join(lines))
            lines = []
        first = first if lines else row
        lines.append(token.string.lstrip("#"))
    if lines:
        yield Text(first, Kind.COMMENT, "\n".join(lines))


def _markdown(source: str) -> Iterator[Text]:
    yield Text(1, Kind.DOCUMENT, _MARKDOWN_CODE.sub(_blank, source))


def _blank(match: re.Match[str]) -> str:
    """Return as many lines as the match has, without its words."""
    return "\n" * match[0].count("\n") or " "


def _configuration(source: str) -> Iterator[Text]:
    for pattern in (_COMMENT_LINE, _ANNOTATION_LINE):
        for match in pattern.finditer(source):
            yield Text(source.count("\n", 0, match.start()) + 1, Kind.COMMENT, match[0].strip())


_READERS: Final[dict[str, Callable[[str], Iterator[Text]]]] = {
    ".py": _python,
    ".md": _markdown,
    ".yaml": _configuration,
    ".toml": _configuration,
    ".sh": _configuration,
}
