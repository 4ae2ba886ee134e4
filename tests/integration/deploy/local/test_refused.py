"""Obstacles of `make run` and `make demo`: one line at once that says what to do."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy.local.checks import ENGINES, only_one
from deploy.local.installation import ROOT, Installation, Ports
from deploy.local.waiting import wait_until

RUN = ("deploy.local.run", "--folder")
DEMO = ("devtools.scenario", "--folder")
AT_ONCE = 30  # seconds, Python's own start on a busy machine included


@contextmanager
def begun(module: str, *arguments: str, out: Path, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield the command as a process; what it says goes to `out`."""
    # A test run in the background has Ctrl-C ignored, and whom it starts would inherit that.
    python = ("env", "--default-signal=INT", sys.executable)
    with out.open("wb") as file:
        process = subprocess.Popen(
            (*python, "-m", module, *arguments), cwd=ROOT, env={**os.environ, **more}, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def refused(command: tuple[str, str], folder: Path, **more: str) -> str:
    """Return what the command says before it ends with status 1."""
    out = folder.with_suffix(".out")
    with begun(*command, str(folder), out=out, **more) as process:
        assert process.wait(AT_ONCE) == 1, out.read_text()
    return out.read_text().strip()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """One that has its ports."""
    made = Installation.open(tmp_path / "state", Ports.free())
    made.keep_ports()
    return made


@pytest.mark.parametrize("command", [RUN, DEMO])
def test_port_taken_by_another_program_is_reported(installation: Installation, command: tuple[str, str]) -> None:
    with socket.create_server(("127.0.0.1", installation.ports.gateway)):
        said = refused(command, installation.folder)
    assert said == (
        f"Port {installation.ports.gateway} (gateway) is taken by {psutil.Process().name()}, "
        f"pid {os.getpid()}: end that, or set ECERT_PORT_GATEWAY to another port"
    )


@pytest.mark.parametrize("command", [RUN, DEMO])
def test_variable_that_is_no_port_is_reported(installation: Installation, command: tuple[str, str]) -> None:
    said = refused(command, installation.folder, ECERT_PORT_KAFKA="kafka")
    assert said == "ECERT_PORT_KAFKA is 'kafka': set it to a port number, or unset it"


def test_second_start_is_refused_and_leaves_the_first_running(installation: Installation) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in installation.folder.rglob("*") if path.is_file()}

    with only_one(installation.folder):
        before = files()
        said = refused(RUN, installation.folder, ECERT_PORT_GATEWAY="10443")
        assert files() == before
    assert said == (f"The system runs already from {installation.folder} (pid {os.getpid()}): stop that with Ctrl-C")


def test_demo_waits_for_a_system_that_starts(installation: Installation, tmp_path: Path) -> None:
    out = tmp_path / "demo.out"
    with (
        only_one(installation.folder) as note,
        begun(*DEMO, str(installation.folder), out=out, ECERT_PORT_GATEWAY="10443") as demo,
    ):
        wait_until(lambda: b"The system is starting: waiting" in out.read_bytes(), limit=AT_ONCE, what="it waits")
        note(ENGINES)
        assert demo.wait(AT_ONCE) == 1
    *_, said = out.read_text().splitlines()
    assert said == f"The system runs from {installation.folder} without its services: stop it, then `make run`"
    assert "Traceback" not in out.read_text()


def test_demo_is_stopped_by_ctrl_c(installation: Installation, tmp_path: Path) -> None:
    out = tmp_path / "demo.out"
    with only_one(installation.folder), begun(*DEMO, str(installation.folder), out=out) as demo:
        wait_until(lambda: b"waiting" in out.read_bytes(), limit=AT_ONCE, what="it waits")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(AT_ONCE) == 1
    assert out.read_text().splitlines()[-1].startswith("Stopped. A renewal that was begun stays open")
    assert "Traceback" not in out.read_text()
