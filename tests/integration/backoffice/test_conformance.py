"""The trial passes our own consumer and a stranger's right one, and fails three wrong ones, each for its own reason."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.practice.consumer import Consumer
from deploy.practice.feed import running
from deploy.practice.judging import CHECKS, Verdict, report
from deploy.practice.trial import Trial

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]
_KIT = [sys.executable, "-m", "backoffice", "follow", "--json"]
_OTHER = [sys.executable, "-m", "tests.integration.backoffice.consumers"]
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
def test_a_consumer_fails_in_what_it_does_wrong_and_in_nothing_else(verdicts: dict[str, Verdict], name: str) -> None:
    expected = {EXPECTED[name]} if name in EXPECTED else set()
    assert {*verdicts[name].failed} == expected, report(verdicts[name])


def test_the_report_says_why(verdicts: dict[str, Verdict]) -> None:
    assert report(verdicts["our own"]).count("  yes ") == len(CHECKS)
    text = report(verdicts["ignores gaps"])
    assert "no  names what is missing, and nothing else: there was no line" in text
    assert "It does not conform." in text
