"""The engines of `make run`: brought up, killed, brought up again, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from deploy.local.installation import ROOT, Installation, Ports
from deploy.local.leftovers import processes_of
from deploy.local.stack import STATE_VARIABLE
from deploy.local.waiting import wait_until

ENGINES: Final = (
    *("postgres", "kafka", "kafka_controller", "gateway", "publication", "mailbox", "smtp", "dns", "transparency"),
)
pytestmark = pytest.mark.timeout(240)


def start(folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Run `make run` for the engines only, until they are ready."""
    command = (sys.executable, "-m", "deploy.local.run", "--folder", str(folder), "--only", "engines")
    with log.open("wb") as out:
        run = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, start_new_session=True)
    wait_until(
        lambda: run.poll() is not None or b"Ctrl-C stops everything" in log.read_bytes(),
        limit=90,
        what="the engines are ready",
        every=0.1,
    )
    assert run.poll() is None, log.read_text()
    return run


def listening(folder: Path) -> set[int]:
    """Return every TCP port on which a process of this installation listens."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {
            connection.laddr.port
            for process in processes_of(folder)
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    return set()


def test_engines_restart_after_everything_was_killed_and_stop_cleanly(tmp_path: Path) -> None:
    folder = (tmp_path / "state").resolve()
    installation = Installation.open(folder, Ports.free())
    installation.keep_ports()
    run = start(folder, tmp_path / "first.log")
    assert listening(folder) == {
        *(getattr(installation.ports, name) for name in ENGINES),
        *installation.resolver_ports.values(),
        *installation.perspective_ports.values(),
    }
    with psycopg.connect(installation.cluster.url("postgres"), autocommit=True) as conn:
        conn.execute("CREATE TABLE kept (number INTEGER)")
    run.kill()
    for process in processes_of(folder):
        process.kill()
    run.wait()

    mark = {**os.environ, STATE_VARIABLE: str(folder)}
    left = subprocess.Popen(("sleep", "300"), env=mark)
    other = subprocess.Popen(("sleep", "300"), env={**mark, STATE_VARIABLE: f"{folder}-of-another"})
    try:
        run = start(folder, tmp_path / "second.log")
        assert left.wait(timeout=5) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for sleeper in (left, other):
            sleeper.kill()
            sleeper.wait()
    with psycopg.connect(installation.cluster.url("postgres")) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)

    os.kill(run.pid, signal.SIGINT)
    assert run.wait(timeout=60) == 0, (tmp_path / "second.log").read_text()
    assert not list(processes_of(folder))
