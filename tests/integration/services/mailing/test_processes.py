"""The real processes and commands, as an operator starts them."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from services.mailing import print_settings
from services.mailing.mailer import MailServer
from services.mailing.main import make_app
from services.mailing.settings import read_settings
from shared.settings import SettingsError
from tests.integration.services.mailing.test_posting import filled, rows_of
from tests.integration.services.mailing.world import World
from tests.support.engines import wait_until
from tests.unit.services.mailing.reports import report
from tests.unit.services.mailing.test_registered_numbers import numbered


@contextmanager
def started(environment: dict[str, str], name: str) -> Iterator[None]:
    """Run a process of mailing until the block ends; it must stop with status 0."""
    process = subprocess.Popen([sys.executable, "-m", "services.mailing.main", name], env=environment, text=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


CLERK = ("--actor", "clerk", "--json")


def command(environment: dict[str, str], *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.mailing.main", *arguments],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_work_sends_print_prints_and_the_operator_records_the_post(world: World, environment: dict[str, str]) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    with started(environment, "work"), started(environment, "print"):
        wait_until(lambda: any(world.posting.rglob("manifest.csv")), limit=30, what="the batch's manifest")
        wait_until(lambda: world.announced_types(renewal.id) == ["csr-request-sent"], limit=30, what="the mail")
    manifest = world.posting / "filled.csv"
    manifest.write_bytes(filled(rows_of(world), numbered(1), numbered(2)))
    done = command(environment, "posted", "batch-000001", "--manifest", str(manifest), "--actor", "mail room", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"recorded": 2, "known": 0, "missing": 0}
    envelope = str(renewal.letter("a.example.hk").envelope_id)
    for recorded in (1, 0):
        done = command(environment, "returned", envelope, "--reason", "moved away", "--actor", "mail room", "--json")
        assert json.loads(done.stdout) == {"recorded": recorded, "known": 1 - recorded}
    posted = ["pin-envelope-posted", "pin-envelope-posted"]
    assert world.announced_types(renewal.id) == ["csr-request-sent", *posted, "pin-envelope-returned"]
    assert ("mail room",) in world.rows("SELECT actor FROM audit_log")
    assert len(world.letters()) == 2
    with started(environment, "print"):
        wait_until(lambda: not world.letters(), limit=30, what="the letters to be erased")
    assert rows_of(world)


def test_operator_records_returns_and_lists_open_work(world: World, environment: dict[str, str]) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.sealed())
    world.send_all()
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()
    ((mail_id, message_id),) = world.rows("SELECT id, message_id FROM mails")
    done = command(environment, "bounced", "-", "--actor", "postmaster", "--json", given=report(message_id).decode())
    assert json.loads(done.stdout) == {"recorded": 1, "known": 0}, done.stderr
    letter = str(renewal.letter().envelope_id)
    listed = json.loads(command(environment, "waiting", "--days", "3650", *CLERK).stdout)
    assert {(each["kind"], each["id"], each.get("why")) for each in listed} == {
        ("mail-bounced", str(mail_id), "550"),
        ("envelope-printed", letter, None),
    }
    assert {each["renewal_id"] for each in listed} == {str(renewal.id)}
    assert json.loads(command(environment, "resend", str(mail_id), *CLERK).stdout) == {"queued": str(mail_id)}
    done = command(environment, "withdrawn", letter, "--reason", "spoiled", *CLERK)
    assert json.loads(done.stdout) == {"withdrawn": letter}
    assert json.loads(command(environment, "waiting", *CLERK).stdout) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["posted", "batch-000009", "--manifest", "/dev/null"],
        ["returned", "00000000-0000-0000-0000-000000000000", "--reason", "x"],
        ["withdrawn", "00000000-0000-0000-0000-000000000000", "--reason", "x"],
        ["resend", "00000000-0000-0000-0000-000000000000"],
        ["bounced", "-"],
    ],
)
def test_refused_command_is_one_line_without_a_traceback(environment: dict[str, str], arguments: list[str]) -> None:
    done = command(environment, *arguments, *CLERK, given="Subject: I am on holiday\n\n")
    assert done.returncode == 1
    assert done.stderr.startswith("report-refused: " if arguments[0] == "bounced" else "posting-refused: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("environment")
def test_web_process_has_no_public_route(world: World) -> None:
    client = make_app(world.pool).test_client()
    assert client.get("/mailing/v1/nothing").mimetype == "application/problem+json"


@pytest.mark.usefixtures("environment")
def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", "http://mail")
    monkeypatch.setenv("MAIL_FROM", "nobody")
    monkeypatch.delenv("PORTAL_URL")
    with pytest.raises(SettingsError) as wrong:
        read_settings()
    for name in ("SMTP_URL", "MAIL_FROM", "PORTAL_URL"):
        assert name in str(wrong.value)
    monkeypatch.setenv("POSTED_LETTERS_KEPT_SECONDS", "-1")
    with pytest.raises(SettingsError, match="PORTAL_URL") as wrong:
        print_settings.read_settings()
    assert "POSTED_LETTERS_KEPT_SECONDS" in str(wrong.value)


@pytest.mark.usefixtures("environment")
def test_letters_are_kept_only_for_the_configured_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert print_settings.read_settings().letters_kept == timedelta()
    monkeypatch.setenv("POSTED_LETTERS_KEPT_SECONDS", "86400")
    assert print_settings.read_settings().letters_kept == timedelta(days=1)


@pytest.mark.usefixtures("environment")
def test_production_sends_no_mail_in_the_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SMTP_URL", "smtp://mail.example.hk")
    with pytest.raises(SettingsError, match="SMTP_URL"):
        read_settings()
    monkeypatch.setenv("SMTP_STARTTLS", "true")
    assert read_settings().mail_server == MailServer(host="mail.example.hk", port=25, starttls=True)


@pytest.mark.usefixtures("environment")
def test_claimed_mails_lease_outlasts_its_conversation() -> None:
    settings = read_settings()
    assert settings.lease.total_seconds() >= 9 * settings.smtp_timeout
