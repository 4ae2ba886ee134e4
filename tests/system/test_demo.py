"""`make demo` as anybody calls it, again and again."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from deploy.local import samples
from deploy.local.installation import ROOT
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target


@pytest.fixture
def left_open(journey: Callable[..., Journey]) -> Iterator[Journey]:
    """A renewal of one of the sample certificates that nobody goes on with."""
    begun = journey(samples.trio(0)[1].srn)
    begun.submit()
    yield begun
    begun.ar.post(f"/application/v1/renewals/{begun.id}/cancellation")
    begun.wait_for_state("cancelled")


@pytest.mark.usefixtures("left_open")
def test_open_renewal_does_not_disturb_the_demo(system: Target) -> None:
    command = (sys.executable, "-m", "devtools.scenario", "--folder", str(system.installation.folder))
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The first sample certificates cannot be renewed now (being-renewed)" in done.stdout
        assert done.stdout.count(" OK, no finding ") == 3
        assert not done.stderr
