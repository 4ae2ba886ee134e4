"""State of an installation, and reasons to refuse a start."""

import os
import socket
import stat
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

import pytest

from deploy.local import kafka_jars
from deploy.local.checks import STARTING, RunsAlready, check_ports, only_one
from deploy.local.installation import PORTS_FROM_ADMIN, CannotStart, Installation, Ports
from deploy.local.kafka_jars import WrongJar
from deploy.local.leftovers import end_leftovers
from deploy.local.processes import table
from deploy.local.stack import Outside

ALONE = Outside(variables={})


def test_second_start_reuses_ports_and_passwords(tmp_path: Path) -> None:
    first = Installation.open(tmp_path, Ports.free())
    first.keep_ports()
    assert Installation.open(tmp_path) == first


def test_reading_an_installation_changes_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Installation.open(tmp_path, Ports.free())
    first.keep_ports()
    monkeypatch.setenv("ECERT_PORT_GATEWAY", "10443")
    assert Installation.open(tmp_path, Ports.free()) != first
    assert Installation.open(tmp_path).ports.gateway == 10443
    assert Installation.that_runs(tmp_path) == first


def test_two_installations_share_no_password(tmp_path: Path) -> None:
    first, second = (Installation.open(tmp_path / name, Ports()) for name in "ab")
    assert not set(first.passwords.values()) & set(second.passwords.values())


def test_password_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    Installation.open(tmp_path)
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_printed_installation_shows_no_password(tmp_path: Path) -> None:
    made = Installation.open(tmp_path, Ports())
    printed = repr([made, made.cluster, made.broker, made.gateway, made.pki])
    assert not [secret for secret in made.passwords.values() if secret in printed]


def test_port_is_set_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECERT_PORT_GATEWAY", "10443")
    assert Installation.open(tmp_path).ports == Ports(gateway=10443)


@pytest.mark.parametrize("value", ["https", "0", "65536", "-1", "8443.0"])
def test_variable_that_is_no_port_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ECERT_PORT_SMTP", value)
    with pytest.raises(CannotStart, match=f"^ECERT_PORT_SMTP is '{value}': set it to a port number, or unset it$"):
        Installation.open(tmp_path)


def test_free_ports_are_enough_for_every_process(tmp_path: Path) -> None:
    installation = Installation.open(tmp_path, Ports.free())
    processes = table(installation, ALONE)
    check_ports(installation, processes)
    assert max(port for each in processes for port in each.ports) < installation.ports.admin + PORTS_FROM_ADMIN


def test_sockets_of_a_deep_folder_are_placed_at_short_paths(tmp_path: Path) -> None:
    deep = Installation.open(tmp_path / ("x" * 100), Ports())
    assert len(str(deep.sockets / "application.sock")) < 100
    assert deep.sockets != Installation.open(tmp_path / ("y" * 100), Ports()).sockets


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("name", [each.name for each in fields(Ports)])
def test_taken_port_is_refused_in_one_line_with_advice(tmp_path: Path, name: str, address: str) -> None:
    ports = Ports.free()
    port = getattr(ports, name)
    installation = Installation.open(tmp_path, ports)
    with socket.create_server((address, port)), pytest.raises(CannotStart) as refused:
        check_ports(installation, table(installation, ALONE))
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"Port {port} (")
    assert f", pid {os.getpid()}: " in line
    assert line.endswith(f"end that, or set ECERT_PORT_{name.upper()} to another port")


def test_taken_port_of_a_later_process_is_named(tmp_path: Path) -> None:
    installation = Installation.open(tmp_path, Ports.free())
    with (
        socket.create_server(("127.0.0.1", installation.ports.admin + 3)),
        pytest.raises(CannotStart, match=r"set ECERT_PORT_ADMIN to another port$"),
    ):
        check_ports(installation, table(installation, ALONE))


def test_one_port_for_two_processes_is_refused_in_one_line(tmp_path: Path) -> None:
    ports = Ports.free()
    installation = Installation.open(tmp_path, replace(ports, smtp=ports.gateway))
    with pytest.raises(CannotStart) as refused:
        check_ports(installation, table(installation, ALONE))
    (line,) = str(refused.value).splitlines()
    assert line == (f"Port {ports.gateway} (mailbox) is wanted by gateway too: set ECERT_PORT_SMTP to another port")


def test_all_ports_taken_are_reported_in_four_lines(tmp_path: Path) -> None:
    installation = Installation.open(tmp_path, Ports.free())
    processes = table(installation, ALONE)
    with ExitStack() as servers:
        for process in processes:
            for port in process.ports:
                servers.enter_context(socket.create_server(("127.0.0.1", port)))
        with pytest.raises(CannotStart) as refused:
            check_ports(installation, processes)
    *lines, last = str(refused.value).splitlines()
    assert len(lines) == 3
    assert last.endswith("more ports are not free; beside another system start this one with --free-ports")


def test_two_runs_of_one_installation_are_refused(tmp_path: Path) -> None:
    with only_one(tmp_path) as note:
        for state in (STARTING, "ready"):
            with pytest.raises(RunsAlready, match=rf"runs already.*\(pid {os.getpid()}\)") as refused:
                only_one(tmp_path).__enter__()
            assert refused.value.state == state
            note("ready")
    with only_one(tmp_path):
        pass


def test_start_without_leftovers_ends_no_process(tmp_path: Path) -> None:
    assert end_leftovers(tmp_path, print) == 0


def test_changed_jar_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "kafka-clients.jar"
    jar.write_bytes(b"as committed to")
    (tmp_path / "kafka-jars.txt").write_text(f"{jar}\n")
    hashes = tmp_path / "hashes"
    hashes.write_text("a9e5d1b0c6b5e1f3e0c1b9b8a5f2c5a2d9d1a8f5f6b3e7c4d2a1908172635445  kafka-clients.jar\n")
    monkeypatch.setattr(kafka_jars, "HASHES", hashes)
    with pytest.raises(WrongJar) as refused:
        kafka_jars.jars(tmp_path)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("Kafka's jars differ from hashes: kafka-clients.jar; remove ")


def test_additional_jar_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "stranger.jar"
    jar.write_bytes(b"?")
    (tmp_path / "kafka-jars.txt").write_text(f"{jar}\n")
    hashes = tmp_path / "hashes"
    hashes.write_text("")
    monkeypatch.setattr(kafka_jars, "HASHES", hashes)
    with pytest.raises(WrongJar, match=r"stranger\.jar"):
        kafka_jars.jars(tmp_path)
