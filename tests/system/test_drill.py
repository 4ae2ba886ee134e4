"""The crash drill as a test: fifty renewals, everything killed, nothing lost and nothing doubled."""

import itertools
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_renewals_survive_kill_9_of_everything() -> None:
    command = [sys.executable, "-m", "devtools.scenario.crash_drill", "--renewals", "50", "--kills", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "    50  renewals running at the kill" in lines, done.stdout
    assert len([line for line in lines if "kill -9, envoy, kafka, postgres, supervisord among them" in line]) == 2
    stood = lines[lines.index("last event of each renewal before the kill:") + 1 :]
    spread = [line.split() for line in itertools.takewhile(lambda line: len(line.split()) == 2, stood)]
    assert {name for _, name in spread} >= {"renewal-submitted", "certificate-issued"}, done.stdout
    assert sum(int(number) for number, _ in spread) == 50
    assert " kinds compared, 0 divergences" in done.stdout
