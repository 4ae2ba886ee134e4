"""No file grows past what a reader takes in: split a module into a package, a test file by theme."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 400


def test_no_python_file_is_longer_than_400_lines() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = [ROOT / name for name in listed.splitlines()]
    lengths = {str(file.relative_to(ROOT)): len(file.read_bytes().splitlines()) for file in files if file.exists()}

    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > MOST} == {}
