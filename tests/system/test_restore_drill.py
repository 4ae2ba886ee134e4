"""The restore drill as a test: a database is lost amid renewals and restored, and afterwards everything agrees."""

import subprocess
import sys

import pytest


def drill(*arguments: str) -> str:
    command = [sys.executable, "-m", "devtools.scenario.restore_drill", "--renewals", "2", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_restore_of_payment_to_before_many_captures_loses_and_doubles_nothing() -> None:
    said = drill("payment", "--point", "yesterday")
    assert said.splitlines()[-1].startswith("payment      yesterday    RPO "), said
    assert said.rstrip().endswith("6 renewals brought back  agrees"), said


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_restore_of_each_database_to_both_points_loses_and_doubles_nothing() -> None:
    said = drill()
    assert len([line for line in said.splitlines()[-12:] if "  agrees" in line]) == 12, said
