"""Installations by other parts than make: images and browsers print why they fail, too."""

import os
from pathlib import Path

import pytest

from deploy.images import engine
from deploy.images.engine import CannotBuild
from tests.browser import programs


def test_build_that_fails_prints_both_outputs() -> None:
    with pytest.raises(CannotBuild) as refused:
        engine._run(("sh", "-c", "echo 'ERROR: no such package'; echo 'exit status 100' >&2; exit 1"))
    assert str(refused.value).splitlines() == ["sh -c failed:", "  ERROR: no such package", "  exit status 100"]


@pytest.fixture
def broken_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: no route to the mirror' >&2; exit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("broken_apt")
def test_browsers_that_cannot_be_installed_end_with_what_apt_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs, "PACKAGES", {"no-such-browser": "no-such-package"})
    assert programs.install() == 100
    assert "  | E: no route to the mirror" in capfd.readouterr().err


@pytest.mark.usefixtures("broken_apt")
def test_programs_of_builds_that_cannot_be_installed_end_with_what_apt_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PROGRAMS", ("no-such-builder",))
    with pytest.raises(CannotBuild, match="no route to the mirror"):
        engine.prepare()
