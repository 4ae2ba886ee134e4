"""The process table, each process's environment, and how supervisord reads it."""

import importlib
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from backoffice.kit.settings import read_settings
from deploy.kafka.topics import ACCESS
from deploy.local import stack, supervision
from deploy.local.installation import Installation, Ports
from deploy.local.processes import Group, Process, has_portal, table
from deploy.local.stack import Outside
from deploy.local.summary import summary
from deploy.postgres.roles import SERVICES, package
from shared.runtime.command_line import run

ALONE = Outside(variables={})


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A new installation, nothing of it running."""
    return Installation.open(tmp_path / "state", Ports())


def by_name(installation: Installation, there: Outside = ALONE) -> dict[str, Process]:
    return {process.name: process for process in table(installation, there)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_command_in_the_table_exists_in_its_service(installation: Installation, service: str) -> None:
    main = importlib.import_module(f"{package(service)}.main")
    commands = {each.command[-1] for each in table(installation, ALONE) if main.__name__ in each.command}
    assert {"web", "work"} <= commands
    assert ("relay" in commands) == bool(ACCESS[service].writes)
    assert ("consume" in commands) == (main.SERVICE.subscriptions is not None)
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            run(main.SERVICE, [command, "--help"])
        assert ended.value.code == 0


@pytest.mark.parametrize("command", ["consume", "held"])
def test_service_without_subscriptions_has_no_consumer_commands(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(importlib.import_module("services.identity.main").SERVICE, [command, "--help"])
    assert "invalid choice" in capsys.readouterr().err


def test_no_two_processes_share_a_port_or_a_socket(installation: Installation) -> None:
    processes = table(installation, ALONE)
    ports = [port for process in processes for port in process.ports]
    sockets = [bind for process in processes if (bind := process.environment.get("BIND"))]
    assert len(ports) == len(set(ports))
    assert len(sockets) == len(set(sockets)) == len(SERVICES) + len(stack.OPERATED) + 1 + has_portal()


def test_supervisord_reads_back_what_the_table_says(installation: Installation) -> None:
    processes = table(installation, ALONE)
    installation.logs.mkdir()
    installation.sockets.mkdir()
    file = installation.folder / "supervisord.conf"
    file.write_text(supervision.configuration(installation, processes))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    read = {each.name: each for group in options.process_group_configs for each in group.process_configs}
    assert read.keys() == {process.name for process in processes}
    for process in processes:
        assert read[process.name].environment == dict(process.environment)
        assert read[process.name].command.replace('"', "") == " ".join(process.command)
        assert read[process.name].autostart == (process.group is not Group.SERVICES)


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a\\b"])
def test_value_that_supervisord_would_misread_is_refused(installation: Installation, value: str) -> None:
    process = Process(name="x", group=Group.EDGE, command=("true",), environment={"A": value})
    with pytest.raises(ValueError, match="supervisord cannot be given"):
        supervision.configuration(installation, [process])


def test_secrets_are_passed_only_to_processes_that_need_them(installation: Installation) -> None:
    processes = by_name(installation)

    def given(secret: str) -> set[str]:
        return {name for name, each in processes.items() if secret in " ".join(each.environment.values())}

    assert given(installation.passwords["postgres/superuser"]) == set()
    assert given(installation.passwords["kafka/admin"]) == set()
    assert given("print.key") == {"mailing-print"}
    assert given("portal-session-keys") == ({"portal-web"} if has_portal() else set())
    assert given("issuance-feed.key") == {"issuance-relay"}
    assert given(installation.passwords["postgres/issuance_feed"]) == {"issuance-feed"}
    assert given("ca.key") == {name for name in processes if name.startswith("issuance-")} - {"issuance-feed"}
    assert given(installation.passwords["postgres/mailing_print"]) == {"mailing-print"}
    for service in SERVICES:
        assert given(installation.passwords[f"postgres/{service}_migrate"]) == set()
        own = {name for name in processes if name.startswith(f"{service}-")} - {"mailing-print", "issuance-feed"}
        assert given(installation.passwords[f"postgres/{service}"]) - {"payment-sandbox"} == own - {"payment-sandbox"}
        assert given(installation.passwords[f"kafka/{service}"]) == own - {"payment-sandbox"}


def test_variable_of_the_caller_that_points_elsewhere_is_not_passed_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PAYMENT_PROVIDER_URL", "https://elsewhere")
    assert not any("elsewhere" in " ".join(p.environment.values()) for p in table(installation, ALONE))


def test_engines_with_configured_addresses_are_used(installation: Installation) -> None:
    there = Outside(
        variables={
            "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
            "KAFKA_USERNAME": "everyone",
            "ISSUANCE_KAFKA_USERNAME": "issuance-only",
            "SMTP_URL": "smtp://mail.example:25",
            **{f"{service.upper()}_DATABASE_URL": f"postgresql://db.example/{service}" for service in SERVICES},
        }
    )
    processes = by_name(installation, there)
    assert not {"kafka", "postgres", "mailbox"} & processes.keys()
    payment = processes["payment-work"].environment
    assert payment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"
    assert payment["KAFKA_USERNAME"] == "everyone"
    assert payment["PAYMENT_DATABASE_URL"] == "postgresql://db.example/payment"
    assert processes["issuance-relay"].environment["KAFKA_USERNAME"] == "issuance-only"
    assert processes["mailing-work"].environment["SMTP_URL"] == "smtp://mail.example:25"


def test_every_process_links_to_the_portal(installation: Installation) -> None:
    processes = by_name(installation)
    portal = "https://portal.ecert.localhost:8443"
    assert processes["mailing-work"].environment["PORTAL_URL"] == portal
    assert processes["mailing-print"].environment["PORTAL_URL"] == portal
    assert processes["payment-web"].environment["PAYMENT_RETURN_URL"] == portal + "/renewals/{renewal_id}"
    assert processes["identity-web"].environment["PORTAL_REDIRECT_URIS"] == portal + "/signed-in"


def test_portal_is_a_client_of_the_gateway_without_a_database_or_kafka(installation: Installation) -> None:
    environment = stack.portal_environment(installation, ALONE)
    assert not [name for name in environment if "DATABASE" in name or "KAFKA" in name]
    assert (environment["PORTAL_URL"], environment["API_URL"], environment["SIGN_IN_URL"]) == (
        "https://portal.ecert.localhost:8443",
        "https://api.ecert.localhost:8443",
        "https://signin.ecert.localhost:8443",
    )
    assert environment["GATEWAY_ADDRESS"] == "127.0.0.1:8443"
    named = {"GATEWAY_CA_FILE", "PORTAL_SESSION_KEYS_FILE", "CA_NAME", "OPERATOR_NAME", "ENVIRONMENT"}
    assert named <= environment.keys()


def test_address_of_the_portal_is_printed_first(installation: Installation) -> None:
    first = summary(installation, by_name(installation)).splitlines()[0]
    assert first.endswith("https://portal.ecert.localhost:8443/" if has_portal() else "http://127.0.0.1:8025/")


def test_only_addresses_of_running_processes_are_printed(installation: Installation) -> None:
    said = summary(installation, {"postgres", "kafka", "gateway"})
    assert [line.split("  ")[0] for line in said.splitlines()] == ["PostgreSQL", "Kafka", "Gateway's root", "Logs"]


def test_kit_gets_its_settings_and_no_foreign_secret(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = stack.kit_environment(installation, ALONE)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(needs_kafka=True, needs_http=True)
    assert settings.http is not None
    assert (settings.group, settings.http.address) == ("backoffice.kit", ("127.0.0.1", 8443))
    others = {secret for name, secret in installation.passwords.items() if name != "kafka/backoffice"}
    assert not others & {*environment.values()}


def test_one_external_database_leaves_the_others_local(installation: Installation) -> None:
    there = Outside(variables={"PAYMENT_DATABASE_URL": "postgresql://db.example/payment"})
    processes = by_name(installation, there)
    assert "postgres" in processes
    assert "127.0.0.1" in processes["identity-web"].environment["IDENTITY_DATABASE_URL"]
    assert stack.migrate_environment(installation, "payment", there)["PAYMENT_MIGRATE_DATABASE_URL"] == (
        "postgresql://db.example/payment"
    )
