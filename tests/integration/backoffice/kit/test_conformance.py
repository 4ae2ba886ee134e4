"""The trial passes our own consumer and a stranger's right one, and fails three wrong ones, each for its own reason."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.checks import CHECKS, Verdict, report
from conformance.consumer_under_test import Consumer
from conformance.feed_fixture import running
from conformance.scenario import Trial
from deploy.local.waiting import wait_until

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]
_KIT = [sys.executable, "-m", "backoffice", "follow", "--json"]
_OTHER = [sys.executable, "-m", "tests.integration.backoffice.kit.consumers"]
COMMANDS = {
    "our own": _KIT,
    "our own over HTTP": [*_KIT, "--http"],
    "right": [*_OTHER, "right"],
    "no dedupe": [*_OTHER, "no-dedupe"],
    "commits before work": [*_OTHER, "commits-first"],
    "ignores gaps": [*_OTHER, "ignores-gaps"],
}
EXPECTED = {
    "no dedupe": "works each once, though it comes again",
    "commits before work": "loses nothing when it is killed in the middle",
    "ignores gaps": "names what is missing, and nothing else",
}


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Verdict]]:
    """All of them at once, on one feed."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-practice-"))
    try:
        folder.chmod(0o755)
        with running(folder) as practice:
            consumers = []
            for name, command in COMMANDS.items():
                state = folder / f"state of {name}"
                state.mkdir()
                environment = practice.environment(name.replace(" ", "-"), state)
                consumers.append(Consumer(name, command, environment, folder))
            yield {verdict.name: verdict for verdict in Trial(practice, consumers, print, limit=90).hold()}
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_faulty_consumer_fails_exactly_the_checks_of_its_fault(verdicts: dict[str, Verdict], name: str) -> None:
    expected = {EXPECTED[name]} if name in EXPECTED else set()
    assert {*verdicts[name].failed} == expected, report(verdicts[name])


def test_report_has_the_reason_of_each_failure(verdicts: dict[str, Verdict]) -> None:
    assert report(verdicts["our own"]).count("  yes ") == len(CHECKS)
    text = report(verdicts["ignores gaps"])
    assert "no  names what is missing, and nothing else: there was no line" in text
    assert "It does not conform." in text


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines in which this folder is named."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return [each for each in found if str(folder) in each]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_no_process(number: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="trial-"))
    folder.chmod(0o755)
    consumer = ["sh", "-c", "sleep 600; true", str(folder)]
    command = [sys.executable, "-m", "backoffice", "conformance", "--", *consumer]
    environment = {**os.environ, "TMPDIR": str(folder)}
    trial = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert trial.stdout is not None
        assert any(b"with a gap" in line for line in trial.stdout)
        wait_until(lambda: any("sleep 600" in each for each in _processes_of(folder)), limit=60, what="it runs")
        os.killpg(trial.pid, number)
        trial.stdout.read()
        assert trial.wait(60) != 0
        assert _processes_of(folder) == []
        assert [*folder.iterdir()] == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(trial.pid, signal.SIGKILL)
        trial.communicate()
        shutil.rmtree(folder, ignore_errors=True)
