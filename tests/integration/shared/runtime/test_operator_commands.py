"""Operator commands of all services: every one needs an actor and a current schema, and is refused in one line."""

import importlib
import io
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NonEmptyGroupError,
    UnknownMemberIdError,
)

from deploy.postgres.roles import SERVICES, package
from shared import db
from shared.messaging import kafka_clients
from shared.runtime import command_line, migrate
from shared.runtime.operator_commands import OperatorCommand
from shared.runtime.service import AnyCommand, CommandGroup, Service
from shared.settings import read_env, read_service
from tests.support.builders import signing_key
from tests.support.engines import Database

ID: Final = str(uuid.UUID(int=0))
MISSING: Final = "/nonexistent"
ACTOR: Final = ("--actor", "officer")
WHY: Final = ("--reason", "a reason")
VERIFIED: Final = ("--verified-at", "2026-11-02T09:30:00+08:00", "--source", "Registry", "--checker", "Officer 1")
# Arguments of each command, and the refusal of what they name; None if a command names nothing that can be unknown.
OF_EVERY_SERVICE: Final[Mapping[str, tuple[tuple[str, ...], str | None]]] = {
    "recall": ((), None),
    "verify-audit": (("--anchor", "0" * 64), None),
    "export": (("--output", f"{MISSING}/extract"), "file-unusable"),
}
OF_EVERY_CONSUMER: Final[Mapping[str, tuple[tuple[str, ...], str | None]]] = {
    "held list": ((), None),
    "held redrive": (("identity.events", ID), "not-parked"),
    "held skip": (("identity.events", ID, *WHY), "not-parked"),
    "held confirm": ((ID, *WHY), "no-such-proposal"),
    "held reject": ((ID, *WHY), "no-such-proposal"),
    "rewind": (("--to", "2026-11-25T08:00:00Z"), None),
}
OWN: Final[Mapping[str, Mapping[str, tuple[tuple[str, ...], str | None]]]] = {
    "identity": {
        "enrol": ((MISSING,), "enrolment-refused"),
        "revoke-ar": (("nobody", *WHY), "ar-not-found"),
        "replace-ar": (("nobody", MISSING, *WHY), "enrolment-refused"),
        "evidence": ((ID, f"{MISSING}/folder"), "evidence-not-found"),
        "restore-evidence": ((), None),
        "renew-evidence list": ((), None),
        "renew-evidence propose": (("organisation", "nobody", *VERIFIED, *WHY), "record-not-found"),
        "renew-evidence approve": ((ID, *WHY), "no-such-proposal"),
        "renew-evidence reject": ((ID, *WHY), "no-such-proposal"),
    },
    "application": {
        "import": ((MISSING,), "import-refused"),
        "load-prices": ((MISSING,), "prices-refused"),
        "release": ((ID,), "renewal-not-found"),
    },
    "payment": {"recheck": ((ID,), "payment-not-ready")},
    "mailing": {
        "posted": (("batch-000009", "--manifest", MISSING), "file-unusable"),
        "returned": ((ID, *WHY), "posting-refused"),
        "withdrawn": ((ID, *WHY), "posting-refused"),
        "bounced": ((MISSING,), "file-unusable"),
        "resend": ((ID,), "posting-refused"),
        "waiting": ((), None),
    },
    "issuance": {
        "register-reader": (("nobody", MISSING), "file-unusable"),
        "withdraw-reader": (("0" * 64, *WHY), "reader-unknown"),
        "readers": ((), None),
        "revoke": (("ff",), "certificate-not-found"),
        "block-key": (("0" * 64, "--source", "a report"), None),
        "lint": ((MISSING,), "file-unusable"),
        "check-csr": ((MISSING,), "file-unusable"),
        "check-caa": (("server.local",), "name-internal-or-reserved"),
        "check-publication": ((), None),
        "check-test-sites": (("valid=127.0.0.1:1",), None),
        "adopt": ((MISSING,), "file-unusable"),
        "watch-ct": ((), None),
        "self-audit": (("--since", "2026-07-01", "--until", "2026-10-01", "--output", f"{MISSING}/audit"), None),
        "reissue-pin": ((ID, "a.example.hk", "--reason", "lost"), "order-not-found"),
    },
    "desk": {
        "assign": (("no number", "--name", "Nobody"), "staff-number-refused"),
        "rebuild": ((), None),
        "state": ((), None),
    },
}


def service_of(name: str) -> Service:
    service: Service = importlib.import_module(f"{package(name)}.main").SERVICE
    return service


def examples(name: str) -> dict[str, tuple[tuple[str, ...], str | None]]:
    consumed = OF_EVERY_CONSUMER if service_of(name).subscriptions is not None else {}
    return {**OF_EVERY_SERVICE, **consumed, **OWN[name]}


def operator_commands(found: Mapping[str, AnyCommand], prefix: str = "") -> Iterator[str]:
    for name, command in found.items():
        if isinstance(command, CommandGroup):
            yield from operator_commands(command.commands, f"{prefix}{name} ")
        elif isinstance(command, OperatorCommand):
            yield f"{prefix}{name}"


# Commands that read Kafka; there is none in these tests.
OVER_KAFKA: Final = frozenset({"recall", "rewind", "rebuild"})
COMMANDS: Final = [(name, command) for name in SERVICES for command in examples(name)]
UNKNOWN: Final = [(name, command) for name, command in COMMANDS if examples(name)[command][1] is not None]


@pytest.fixture
def service(name: str, database: Callable[[str], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service with a database of its own and the settings that every service has."""
    key = tmp_path / "audit.pem"
    key.write_bytes(
        signing_key("audit").key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    jwks = tmp_path / "jwks.json"
    jwks.write_text('{"keys": []}')
    environment = database(name).environment | {
        "AUDIT_KEY_FILE": str(key),
        "FINGERPRINT_KEY_FILE": str(key),
        "IDENTITY_JWKS_FILE": str(jwks),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ENVIRONMENT": "local",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = read_service(read_env(), name)
    real = service_of(name)
    return replace(real, read_settings=lambda: settings, subscriptions=None if real.subscriptions is None else tuple)


@pytest.mark.parametrize("name", SERVICES)
def test_examples_cover_every_operator_command(name: str) -> None:
    assert {*operator_commands(command_line.commands(service_of(name)))} == {*examples(name)}


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_command_without_actor_is_wrong_usage(name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.run(service_of(name), [*command.split(), *examples(name)[command][0]])
    assert ended.value.code == 2
    assert "--actor" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_command_on_older_schema_is_refused(
    service: Service, name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(service.migrations, tmp_path / "migrations")
    (folder / f"{len([*folder.glob('*.sql')]) + 1:04}_next.sql").write_text("SELECT 1;")
    monkeypatch.setattr(migrate, "wait_until_current", partial(migrate.wait_until_current, seconds=0))
    with pytest.raises(SystemExit) as ended:
        command_line.run(
            replace(service, migrations=folder), [*command.split(), *examples(name)[command][0], *ACTOR, "--json"]
        )
    assert str(ended.value.code).startswith("not-migrated: ")


@pytest.mark.parametrize(("name", "command"), UNKNOWN)
def test_command_about_something_unknown_is_refused_in_one_line(
    service: Service, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(service, command).startswith(f"{examples(name)[command][1]}: ")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_command_without_database_is_refused_in_one_line(
    service: Service, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(service.read_settings(), database_url="postgresql://127.0.0.1:1/none")
    monkeypatch.setattr(db, "open_pool", partial(db.open_pool, wait=0.1))
    monkeypatch.setattr(migrate, "wait_until_current", partial(migrate.wait_until_current, seconds=0))
    ended = refused(replace(service, read_settings=lambda: settings), command)
    assert ended.startswith("database-unavailable: ")


@pytest.mark.parametrize(("name", "command"), [each for each in COMMANDS if each[1] in OVER_KAFKA])
def test_command_without_kafka_is_refused_in_one_line(
    service: Service, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_clients, "_common", partial(impatient, kafka_clients._common))
    # The desk's own command reads the desk's own settings, which are not the subject here.
    monkeypatch.setattr(f"{package(name)}.main.read_settings", service.read_settings, raising=False)
    monkeypatch.setattr(f"{package(name)}.main.make_subscriptions", tuple, raising=False)
    assert refused(service, command).startswith("kafka-unavailable: ")


def impatient(common: Callable[..., dict[str, object]], *given: object, bootstrap_timeout_ms: int) -> dict[str, object]:
    """Return a client's configuration with less patience."""
    return common(*given, bootstrap_timeout_ms=min(bootstrap_timeout_ms, 100))


@pytest.mark.parametrize("name", ["payment"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NonEmptyGroupError, "group-has-members"),
        (UnknownMemberIdError, "group-has-members"),
        (GroupAuthorizationFailedError, "kafka-not-permitted"),
        (KafkaConnectionError, "kafka-unavailable"),
    ],
)
def test_failed_offset_reset_is_refused_in_one_line(
    service: Service, error: type[KafkaError], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **options: object) -> int:
        raise error("of the\nbroker")

    monkeypatch.setattr(kafka_clients, "make_admin", lambda *given: io.BytesIO())
    monkeypatch.setattr(kafka_clients, "reset_offsets", fail)
    assert refused(service, "rewind").startswith(f"{reason}: ")


def refused(service: Service, command: str) -> str:
    """Run a command of the examples. Returns the one line of its refusal, whose exit status is 1."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(service, [*command.split(), *examples(service.name)[command][0], *ACTOR])
    assert isinstance(ended.value.code, str)  # printed to standard error, with exit status 1
    assert "\n" not in ended.value.code
    return ended.value.code


@pytest.mark.parametrize("name", ["issuance"])
def test_report_is_text_or_json(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.run(service, ["readers", *ACTOR])
    command_line.run(service, ["readers", *ACTOR, "--json"])
    command_line.run(service, ["block-key", "0" * 64, "--source", "a report", *ACTOR, "--json"])
    assert capsys.readouterr().out.splitlines() == ["none", "[]", '{"revoked": 0}']


@pytest.mark.parametrize("name", ["payment"])
def test_finding_is_exit_status_1(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.run(service, ["verify-audit", "--anchor", "0" * 64, *ACTOR])
    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith("seal ")
