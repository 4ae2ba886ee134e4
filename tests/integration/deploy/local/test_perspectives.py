"""DNS and perspectives as `make run` starts them, asked by issuance's client."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import psutil
import pytest

from deploy.local import perspectives, processes
from deploy.local.bring_up import is_ready
from deploy.local.dns.__main__ import look_up
from deploy.local.dns.updates import Updates
from deploy.local.installation import ROOT, Installation, Ports
from deploy.local.stack import Outside
from deploy.local.waiting import wait_until
from services.issuance.dcv.perspectives import Credentials, Failure, Perspectives
from services.issuance.dcv.quorum import PerspectiveSet
from shared.pki.observations import Kind, Outcome, Question, Report

NAME = "_validation.www.harbourlights.example.hk"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation.open(tmp_path_factory.mktemp("state"), Ports.free())
    perspectives.write(made.pki.perspectives, made.perspective_ports, datetime.now(UTC))
    made.dns.mkdir()
    return made


@pytest.fixture(scope="module")
def running(installation: Installation) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    table = {each.name: each for each in processes.table(installation, Outside(variables={}))}
    found = [table["dns"], table["perspectives"]]
    with ExitStack() as stack:
        started = {}
        for each in found:
            output = stack.enter_context((installation.folder / f"{each.name}.log").open("wb"))
            started[each.name] = subprocess.Popen(
                each.command, env=dict(each.environment), cwd=ROOT, stdout=output, stderr=output
            )
        try:
            wait_until(lambda: all(map(is_ready, found)), limit=60, what="DNS and perspectives listen")
            yield started
        finally:
            for process in started.values():
                process.terminate()
            for process in started.values():
                assert process.wait(30) == 0


@pytest.fixture(scope="module")
def client(installation: Installation, running: object) -> Iterator[Perspectives]:
    folder = installation.pki.perspectives
    found = PerspectiveSet.parse((folder / perspectives.LIST).read_bytes())
    credentials = Credentials(
        ca_file=folder / "ca.pem", certificate=folder / "issuance.pem", key=folder / "issuance.key"
    )
    made = Perspectives(found, credentials)
    yield made
    made.close()


def observed(client: Perspectives, *questions: Question) -> dict[str, Report]:
    found = client.observe(questions, uuid.uuid4())
    assert [each for each in found.values() if isinstance(each, Failure)] == []
    return {name: each for name, each in found.items() if isinstance(each, Report)}


@pytest.mark.parametrize("day", [datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 15, tzinfo=UTC)])
def test_list_of_perspectives_is_allowed_now_and_from_the_15th_of_december(
    installation: Installation, day: datetime
) -> None:
    found = PerspectiveSet.parse((installation.pki.perspectives / perspectives.LIST).read_bytes())
    found.check(day)
    assert (found.primary.name, len(found.remotes)) == ("hkg", 5)


def test_every_perspective_sees_what_was_published_through_its_own_resolver(
    installation: Installation, client: Perspectives
) -> None:
    updates = Updates(installation.dns, installation.ports.dns)
    question, absent = Question(Kind.TXT, NAME), Question(Kind.CAA, "www.harbourlights.example.hk")
    updates.publish(NAME, "TXT", "value")
    reports = observed(client, question, absent)
    assert {name: each.resolver for name, each in reports.items()} == {
        name: f"127.0.0.1:{port}" for name, port in installation.resolver_ports.items()
    }
    for report in reports.values():
        txt, caa = report.observations
        assert (txt.outcome, txt.values, txt.secure) == (Outcome.FOUND, ("value",), True)
        assert (caa.outcome, caa.secure) == (Outcome.ABSENT, True)
    updates.withdraw(NAME, "TXT")
    assert {each.observations[0].outcome for each in observed(client, question).values()} == {Outcome.ABSENT}


def test_command_publishes_withdraws_and_shows(installation: Installation, client: Perspectives) -> None:
    installation.keep_ports()
    name = "_validation.mail.harbourlights.example.hk"

    def run(*words: str) -> str:
        command = (sys.executable, "-m", "deploy.local.dns", "--folder", str(installation.folder), *words)
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
        return done.stdout

    run("publish", name, "TXT", "value")
    assert run("show", name, "TXT") == f'NOERROR, secure\n{name}. 60 IN TXT "value"\n'
    run("withdraw", name, "TXT")
    assert look_up(installation.resolver_ports["jnb"], name, "TXT") == "NXDOMAIN, secure"


def test_perspective_that_ends_is_started_again(
    installation: Installation, running: dict[str, "subprocess.Popen[bytes]"], client: Perspectives
) -> None:
    parent = psutil.Process(running["perspectives"].pid)
    before = {each.pid for each in parent.children()}
    assert len(before) == 6
    victim = min(before)
    os.kill(victim, signal.SIGKILL)

    def back() -> bool:
        found = client.observe((Question(Kind.TXT, NAME),), uuid.uuid4())
        now = {each.pid for each in parent.children()}
        return victim not in now and len(now) == 6 and not any(isinstance(each, Failure) for each in found.values())

    wait_until(back, limit=30, what="the sixth perspective is back")
    assert len(before & {each.pid for each in parent.children()}) == 5


def test_one_perspective_cannot_ask_another(installation: Installation, client: Perspectives) -> None:
    folder = installation.pki.perspectives
    stranger = Credentials(ca_file=folder / "ca.pem", certificate=folder / "sin.pem", key=folder / "sin.key")
    found = Perspectives(client.set, stranger).observe((Question(Kind.TXT, NAME),), uuid.uuid4())
    assert {each.reason for each in found.values() if isinstance(each, Failure)} == {"unavailable"}
    assert len(found) == 6
