"""A consumer under trial is somebody's command: whatever it is and starts, nothing of it outlives the trial."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backoffice.kit import main as kit
from conformance.consumer_under_test import Consumer
from deploy.local.installation import ROOT
from deploy.local.waiting import wait_until

pytestmark = pytest.mark.timeout(60)
# A shell whose child has its output, and outlives it.
COMMANDS = {
    "a child": 'sleep 600 & echo "{\\"position\\": $!}"; wait',
    "a child that is left": 'sleep 600 & echo "{\\"position\\": $!}"',
}


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.mark.parametrize("end", [Consumer.kill, Consumer.terminate, Consumer.close])
@pytest.mark.parametrize("command", COMMANDS)
def test_suite_ends_the_processes_it_starts(tmp_path: Path, command: str, end: Callable[[Consumer], None]) -> None:
    consumer = Consumer("shell", ["sh", "-c", COMMANDS[command]], {}, tmp_path)
    consumer.start()
    until = time.monotonic() + 20
    while not consumer.worked and time.monotonic() < until:
        time.sleep(0.05)
    (child,) = consumer.worked
    end(consumer)
    while is_there(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_there(child)


def test_command_is_started_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "consumer.sh").write_text("#!/bin/sh\necho '{\"position\": 7}'\nsleep 60\n")
    (tmp_path / "consumer.sh").chmod(0o755)
    consumer = Consumer("relative", ["./consumer.sh"], {}, tmp_path)
    consumer.start()
    try:
        wait_until(lambda: consumer.worked == {7}, limit=20, what="its line")
    finally:
        consumer.close()


@pytest.mark.parametrize("entry", [["backoffice", "conformance"], ["conformance"]], ids=" ".join)
def test_missing_command_of_consumer_is_named_at_once(entry: list[str]) -> None:
    command = [sys.executable, "-m", *entry, "--", "./no-such-consumer", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (2, "conformance: there is no command ./no-such-consumer\n")


def test_kit_without_the_suite_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "_SUITE", "conformance.of_another_checkout")
    with pytest.raises(SystemExit, match="backoffice conformance: the suite is missing"):
        kit.main(["conformance", "--", "true"])


def test_stop_of_a_command_never_started_does_nothing(tmp_path: Path) -> None:
    Consumer("none", ["true"], {}, tmp_path).close()
