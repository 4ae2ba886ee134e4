"""The whole system, running on free ports for all system tests of a run."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.demo.journey import Journey
from deploy.demo.target import Target
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running


@pytest.fixture(scope="session")
def system() -> Iterator[Target]:
    """Every process, ready."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-system-"))
    try:
        installation = Installation.open(folder / "state", Ports.free())
        with running(installation, Progress()):
            yield Target(installation=installation, patience=20)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def journey(system: Target, tmp_path: Path) -> Iterator[Callable[..., Journey]]:
    """Begin a renewal of these SRNs as one of the sample ARs."""
    begun: list[Journey] = []

    def begin(*srns: str, person: str = "chan-mei-ling") -> Journey:
        begun.append(system.journey(list(srns), tmp_path / str(len(begun)), person=person))
        return begun[-1]

    yield begin
    for each in begun:
        each.ar.close()
