"""Clock of a whole system: what processes show that load its library, and how long they wait."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from devtools.clock import SLOW, Clock

NEW_YEAR: Final = datetime(2031, 1, 1, tzinfo=UTC)
LAST_SECOND: Final = NEW_YEAR - timedelta(seconds=1)
MARGIN: Final = timedelta(seconds=30)
# Waits are what is tested here: a semaphore between processes waits until a time of day; sleep and an event's wait are
# monotonic.
WAITS: Final = """
import json, multiprocessing, threading, time
shown, began = time.time(), time.monotonic()
multiprocessing.Semaphore(0).acquire(timeout=0.2)
time.sleep(0.2)
threading.Event().wait(0.2)
print(json.dumps({"shown": shown, "passed": time.time() - shown, "began": began, "waited": time.monotonic() - began}))
"""


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is missing: apt-get install gcc libc6-dev")
    return Clock.make(tmp_path)


def run(clock: Clock, *command: str) -> str:
    environment = {**os.environ, **clock.environment, "TZ": "UTC"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def waits(clock: Clock) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(clock, sys.executable, "-c", WAITS))
    return found


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_process_shows_the_time_that_is_set_and_waits_as_long_as_ever(clock: Clock) -> None:
    clock.set(NEW_YEAR)
    before = time.monotonic()
    found = waits(clock)
    assert NEW_YEAR <= moment(found["shown"]) < NEW_YEAR + MARGIN
    assert before < found["began"] < time.monotonic()
    assert 0.6 <= found["waited"] < MARGIN.total_seconds()
    assert found["passed"] == pytest.approx(found["waited"], abs=0.2)


def test_slow_clock_stays_in_its_second_and_waits_are_no_longer(clock: Clock) -> None:
    clock.set(LAST_SECOND, slowness=SLOW)
    found = waits(clock)
    assert LAST_SECOND <= moment(found["shown"]) < NEW_YEAR
    assert 0.6 <= found["waited"] < MARGIN.total_seconds()
    assert 0 < found["passed"] < 0.1


def test_running_process_shows_a_time_that_is_set_later(clock: Clock) -> None:
    clock.set(LAST_SECOND, slowness=SLOW)
    command = "import sys, time; print(time.time(), flush=True); sys.stdin.read(1); print(time.time())"
    with subprocess.Popen(
        (sys.executable, "-c", command),
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = moment(float(process.stdout.readline()))
        clock.set(NEW_YEAR)
        last = moment(float(process.communicate("x", timeout=20)[0]))
    assert LAST_SECOND <= first < NEW_YEAR <= last


@pytest.mark.parametrize("program", ["date", "openssl"])
def test_programs_of_the_system_show_it_too(clock: Clock, tmp_path: Path, program: str) -> None:
    clock.set(LAST_SECOND, slowness=SLOW)
    if program == "date":
        assert run(clock, "date", "+%FT%T") == "2030-12-31T23:59:59"
        return
    options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(tmp_path / "key"))
    certificate = tmp_path / "certificate"
    run(clock, "openssl", "req", "-x509", *options, "-subj", "/CN=clock", "-out", str(certificate))
    assert run(clock, "openssl", "x509", "-in", str(certificate), "-noout", "-startdate") == (
        "notBefore=Dec 31 23:59:59 2030 GMT"
    )


def test_java_is_never_slow_and_never_goes_back(clock: Clock, tmp_path: Path) -> None:
    """Kafka's program, by its name: it measures its own timeouts by the time of day."""
    java = tmp_path / "java"
    java.symlink_to(sys.executable)
    # The sleep is what is measured: a fifth of a second by the real clock.
    measure = "import time; a = time.time(); time.sleep(0.2); print(a, time.time())"
    seen = []
    for set_to in (NEW_YEAR, LAST_SECOND, NEW_YEAR + timedelta(hours=1)):
        clock.set(set_to, slowness=SLOW)
        said = run(clock, str(java), "-S", "-c", measure)
        first, last = map(float, said.split())
        assert last - first >= 0.19
        seen += [moment(first), moment(last)]
    assert seen == sorted(seen)
    assert NEW_YEAR <= seen[0] < NEW_YEAR + MARGIN
    assert NEW_YEAR + timedelta(hours=1) <= seen[4]
