"""No file, function or package grows past what a reader takes in: split by subject."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "shared",
    "services",
    "portal",
    "perspective",
    "backoffice",
    "deploy",
    "conformance",
    "devtools",
    "benchmarks",
)
MAX_LINES = 400
MAX_PRODUCT_LINES = 350
MAX_P90_LINES = 19
MAX_SHARED_ENTRIES = 20


def python_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.splitlines() if (ROOT / name).exists()]


def product_files() -> list[Path]:
    return [file for file in python_files() if file.parts[0] in PRODUCT]


def lines_of(file: Path) -> int:
    return len((ROOT / file).read_bytes().splitlines())


def function_lengths() -> Iterator[int]:
    for file in product_files():
        for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1


def test_no_python_file_is_longer_than_400_lines() -> None:
    assert len(python_files()) > 100
    assert {str(file): lines_of(file) for file in python_files() if lines_of(file) > MAX_LINES} == {}


def test_no_product_module_is_longer_than_350_lines() -> None:
    assert {str(file): lines_of(file) for file in product_files() if lines_of(file) > MAX_PRODUCT_LINES} == {}


def test_nine_of_ten_functions_have_at_most_19_lines() -> None:
    lengths = sorted(function_lengths())
    assert len(lengths) > 1000
    assert lengths[len(lengths) * 9 // 10] <= MAX_P90_LINES


def test_shared_has_at_most_20_entries_at_its_top() -> None:
    listed = subprocess.run(["git", "ls-files", "shared"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    entries = {Path(name).parts[1] for name in listed.splitlines() if (ROOT / name).exists()} - {"__init__.py"}
    assert len(entries) <= MAX_SHARED_ENTRIES, sorted(entries)
