"""Importing a module changes nothing outside it: no patched library, no registration, no work."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("shared", "services", "portal", "perspective", "backoffice")
DECLARATIONS: Final = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Pass)
PATCHES: Final = {
    "copyreg.dispatch_table": "services.identity.reading",
    "gunicorn.util.write_error": "shared.web.gunicorn_server",
    "kafka.record.default_records.DefaultRecordBatch._maybe_uncompress": "shared.messaging.kafka_clients",
    "kafka.record.default_records.DefaultRecordBatch._read_msg": "shared.messaging.kafka_clients",
}


def acting(source: str) -> list[int]:
    """Return the lines of a module's own statements that do more than declare or name something."""
    return [node.lineno for node in statements(ast.parse(source).body) if not declares(node)]


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that an import runs; those in a condition on the version or for type checkers, too."""
    for node in body:
        if isinstance(node, ast.If) and "__name__" not in ast.unparse(node.test):
            yield from statements([*node.body, *node.orelse])
        elif not isinstance(node, ast.If):
            yield node


def declares(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=targets):
            return all(isinstance(each, ast.Name | ast.Tuple) for each in targets)
        case ast.AnnAssign(target=target):
            return isinstance(target, ast.Name)
    return isinstance(node, DECLARATIONS)


def test_a_module_only_declares() -> None:
    listed = subprocess.run(
        ["git", "ls-files", *(f"{each}/*.py" for each in PRODUCT)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    modules = [name for name in listed if not name.endswith("__main__.py") and (ROOT / name).exists()]
    assert len(modules) > 200
    assert {name: lines for name in modules if (lines := acting((ROOT / name).read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    ["library.install()", "library.function = own", "for each in VALUES:\n    METRIC.labels(each)", "del library.name"],
)
def test_a_module_that_acts_is_found(source: str) -> None:
    assert acting(source) == [1]


@pytest.mark.parametrize("place", PATCHES)
def test_a_library_is_as_before_after_the_import_of_what_patches_it(place: str) -> None:
    code = f"""
import importlib, pkgutil
before = str(pkgutil.resolve_name({place!r}))
importlib.import_module({PATCHES[place]!r})
print(before == str(pkgutil.resolve_name({place!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"
