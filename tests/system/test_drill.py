"""The crash drill as a test: fifty renewals, everything killed, nothing lost and nothing doubled."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_renewals_survive_kill_9_of_everything() -> None:
    command = [sys.executable, "-m", "deploy.demo.drill", "--renewals", "50", "--kills", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
