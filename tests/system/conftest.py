"""The whole system, running on free ports for all system tests of a run."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.local import samples
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.system.collector import Collector, collecting
from tests.system.door import Door
from tests.system.verification import faults_of_all

STARTUP: Final = Path(__file__).parents[1] / "startup"
BROKEN: Final = "broken-answers.log"


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Takes the traces of every process."""
    with collecting() as running:
        yield running


@pytest.fixture(scope="session")
def system(collector: Collector) -> Iterator[Target]:
    """Every process, ready."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-system-"))
    try:
        installation = Installation.open(folder / "state", Ports.free())
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
            environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")  # milliseconds
            environment.setenv("PYTHONPATH", str(STARTUP))
            with running(installation, Progress()):
                target = Target(installation=installation, patience=20)
                yield target
                # Whatever the tests of this run had issued: every certificate and CRL, as relying parties see them.
                (checked := folder / "verification").mkdir()
                assert faults_of_all(target, checked) == []
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _answers_of_processes_keep_the_contract(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which a process of the system answered otherwise than its OpenAPI document says."""
    system: Target | None = request.getfixturevalue("system") if "system" in request.fixturenames else None
    yield
    broken = None if system is None else system.installation.folder / BROKEN
    if broken is not None and broken.exists():
        lines = broken.read_text().splitlines()
        broken.unlink()
        assert not lines, "\n".join(sorted(set(lines)))


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


@pytest.fixture(scope="session")
def spare(system: Target) -> Iterator[str]:
    """SRNs of subscriptions that no other test renews, one after the other."""
    import_subscriptions(system.installation, samples.many(20))
    return (f"{3_000_001 + number:010d}" for number in range(20))


@pytest.fixture(scope="session")
def victim(system: Target, spare: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """A paid renewal whose CSR is awaited, its PINs at hand; every attack must leave it as it is."""
    journey = system.journey([next(spare)], tmp_path_factory.mktemp("victim"))
    journey.apply()
    journey.receive()
    yield journey
    journey.ar.close()


@pytest.fixture(scope="session")
def door(system: Target) -> Door:
    """The way in for attackers."""
    return Door(installation=system.installation)
