"""Every SQL statement of the code, found in its syntax tree: what a module passes to `execute` or `executemany`."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_PLACEHOLDER: Final = re.compile(
    r"%%|%\((?P<named>\w+)\)s(?!::)|%\((?P<typed>\w+)\)s|%s(?=(?P<now> \+ %s \* power))|%s(?=(?P<lease> \* power))|%s"
)
# Types that PostgreSQL cannot infer without the values.
_TYPES: Final = {"now": "::timestamptz", "lease": "::interval"}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement and the function that executes it; `text` is None if it cannot be read from the code."""

    where: str
    text: str | None

    def numbered(self) -> str:
        """Return the text with PostgreSQL's own placeholders."""
        assert self.text is not None
        numbers: dict[str, int] = {}
        count = 0

        def number(found: re.Match[str]) -> str:
            nonlocal count
            if found[0] == "%%":
                return "%"
            name = found["named"] or found["typed"] or f" {count}"
            if name not in numbers:
                numbers[name] = len(numbers) + 1
            count += 1
            kind = "now" if found["now"] else "lease" if found["lease"] else found["named"]
            return f"${numbers[name]}{_TYPES.get(kind, '')}"

        return _PLACEHOLDER.sub(number, self.text)


def of_module(path: Path) -> Iterator[Statement]:
    """Yield the statements of one module, those of a helper once for each of its callers."""
    tree = ast.parse(path.read_text())
    names = vars(importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for caller, given in _arguments(tree, function, names):
                known = {**names, **given, **_assigned(function, {**names, **given})}
                for query in _queries(function):
                    text = _value(query, known)
                    text = text.decode() if isinstance(text, bytes) else text
                    where = f"{path.relative_to(ROOT)}:{function.name}{caller}"
                    yield Statement(where=where, text=text if isinstance(text, str) else None)


def _queries(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("execute", "executemany") and node.args:
            yield node.args[0]


def _arguments(
    tree: ast.Module, function: ast.FunctionDef, names: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the function's callers in the same module pass it, each with its name; nothing is a call, too."""
    parameters = [each.arg for each in function.args.args]
    defaults = dict(zip(parameters[::-1], function.args.defaults[::-1], strict=False))
    keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    defaults |= {each.arg: value for each, value in keywords if value is not None}
    calls = [
        (caller, call)
        for caller in ast.walk(tree)
        if isinstance(caller, ast.FunctionDef)
        for call in ast.walk(caller)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function.name
    ]
    if defaults or not calls:
        yield "", {name: _value(value, names) for name, value in defaults.items()}
    for caller, call in calls:
        given = dict(zip(parameters, call.args, strict=False))
        given |= {each.arg: each.value for each in call.keywords if each.arg}
        known = {**names, **_assigned(caller, names)}
        values = {name: _value(value, known) for name, value in {**defaults, **given}.items()}
        yield f"<{caller.name}>", {name: value for name, value in values.items() if value is not None}


def _assigned(function: ast.FunctionDef, names: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = _value(node.value, {**names, **values})
    return {name: value for name, value in values.items() if value is not None}


def _value(expression: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression of constants; None if it needs more than is known."""
    if any(isinstance(node, ast.Call) and not _is_harmless(node) for node in ast.walk(expression)):
        return None
    try:
        return eval(compile(ast.Expression(expression), "<statement>", "eval"), dict(names))
    except Exception:  # an expression over what is known only when it runs
        return None


def _is_harmless(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("join", "split", "replace", "format", "encode")
