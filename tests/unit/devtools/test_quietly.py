"""Set-up steps run without output; one that fails prints its own last lines and what to try."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
QUIETLY = ROOT / "devtools" / "quietly"
HINT = "is the mirror reachable?"


def run(folder: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a step, its log in a folder."""
    return subprocess.run(
        (str(QUIETLY), "Installing parts", HINT, *command),
        env={**os.environ, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_step_that_succeeds_prints_nothing_and_leaves_no_log(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-c", "echo progress; echo warning >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [*tmp_path.iterdir()] == []


def test_step_that_fails_prints_its_last_lines_the_hint_and_its_status(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-c", "seq 100; echo 'E: no such package' >&2; exit 7")
    assert done.returncode == 7
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Installing parts failed (exit status 7): sh -c")
    assert lines[1:21] == [*(f"  | {number}" for number in range(82, 101)), "  | E: no such package"]
    assert lines[-1] == f"To try: {HINT}"
    (log,) = tmp_path.iterdir()
    assert lines[-2] == f"All of its output: {log}"
    assert log.read_text().startswith("1\n2\n")


def test_step_whose_program_is_missing_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "no-such-program")
    assert done.returncode == 127
    assert "no-such-program: command not found" in done.stderr


def test_step_without_a_terminal_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    assert run(tmp_path, sys.executable, "-c", "input()").returncode == 1


def test_apt_step_that_fails_prints_what_apt_said(tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text('#!/bin/sh\necho "E: $1 cannot reach the mirror" >&2\nexit 100\n')
    apt.chmod(0o755)
    done = subprocess.run(
        (str(ROOT / "devtools" / "apt-install"), "curl"),
        env={**os.environ, "TMPDIR": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 100
    assert "  | E: update cannot reach the mirror" in done.stderr
    assert "To try: does the package mirror answer? As root: apt-get update && apt-get install curl" in done.stderr


def test_make_install_that_fails_prints_what_pip_said(tmp_path: Path) -> None:
    python = tmp_path / "python3.11"
    python.write_text(
        "#!/bin/sh\n"
        'mkdir -p "$3/bin"\n'
        "printf '#!/bin/sh\\necho ERROR: no route to the index >&2; exit 1\\n' > \"$3/bin/pip\"\n"
        'chmod +x "$3/bin/pip"\n'
    )
    python.chmod(0o755)
    done = subprocess.run(
        ("make", "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}"),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "  | ERROR: no route to the index" in done.stderr
    assert "To try: is the index of Python packages reachable" in done.stderr
    assert not (tmp_path / "venv" / ".installed").exists()


@pytest.mark.parametrize("path", ["Makefile", "Dockerfile", "deploy/images/install.sh"])
def test_no_set_up_step_hides_its_output(path: str) -> None:
    text = (ROOT / path).read_text().replace("\\\n", " ")
    hidden = (
        r"(?:pip|npm|apt-get)\b.* (?:install|ci|update)\b.*(?:--silent|--quiet|/dev/null)|(?:pip|npm|apt-get)\b.* -?-q"
    )
    assert re.findall(hidden, text) == []
