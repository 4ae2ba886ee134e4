"""The `operate` process over a network, as in a cluster: the desk gets through by mutual TLS, and nobody else."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backoffice.desk.operators import Network, OperatorAPIUnavailable, Operators, Refusal
from backoffice.desk.roles import Action, Role
from backoffice.desk.staff import Member
from deploy.local.inside import InsideCA
from tests.support.builders import signing_key
from tests.support.engines import free_port, wait_until

MEMBER = Member(id="S1002", name="CHEUNG Kwok Wai 張國偉", roles=frozenset(Role), certificate_sha256="d4" * 32)


@dataclass(frozen=True)
class Addresses:
    """The process, and every certificate that somebody might show it."""

    port: int
    folder: Path

    def called_by(self, who: str, *, key: str = "desk") -> Operators:
        """Return the desk's own client, with this certificate and this signing key."""
        files = {"certificate_file": self.folder / f"{who}.pem", "key_file": self.folder / f"{who}.key"}
        network = Network(ca_file=self.folder / "services-ca.pem", **files)
        there = {"mailing": f"https://localhost:{self.port}"}
        return Operators(addresses=there, key=signing_key(key), network=network)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of desk, gateway, the service itself, another service, and a stranger who calls himself desk."""
    folder = tmp_path_factory.mktemp("inside")
    services, desk, gateway, stranger = (InsideCA.make(each, now=datetime.now(UTC)) for each in "sdgx")
    (folder / "services-ca.pem").write_bytes(services.pem)
    (folder / "desk-ca.pem").write_bytes(desk.pem)
    (folder / "stranger-ca.pem").write_bytes(stranger.pem)
    services.issue(("localhost",), folder / "service")
    services.issue(("desk",), folder / "other-service")
    gateway.issue(("gateway",), folder / "gateway")
    stranger.issue(("desk",), folder / "stranger")
    desk.issue(("desk",), folder / "desk")
    return folder


@pytest.fixture
def operate(environment: dict[str, str], certificates: Path, tmp_path: Path) -> Iterator[Addresses]:
    port, admin = free_port(), free_port()
    (tmp_path / "desk-jwks.json").write_text(json.dumps({"keys": [signing_key("desk").jwk()]}))
    told = {
        "BIND": f"127.0.0.1:{port}",
        "ADMIN_PORT": str(admin),
        "TLS_CERTIFICATE_FILE": str(certificates / "service.pem"),
        "TLS_KEY_FILE": str(certificates / "service.key"),
        "TLS_CLIENT_CA_FILE": str(certificates / "desk-ca.pem"),
        "DESK_JWKS_FILE": str(tmp_path / "desk-jwks.json"),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.mailing.main", "operate"], env=environment | told)
    made = Addresses(port, certificates)
    try:
        wait_until(lambda: is_up(made), limit=30, what="mailing's operate answers", every=0.1)
        yield made
    finally:
        process.terminate()
        assert process.wait(30) == 0


def is_up(there: Addresses) -> bool:
    try:
        return batches(there.called_by("desk")) == []
    except OperatorAPIUnavailable:
        return False


def batches(operators: Operators) -> object:
    return operators.get("mailing", "batches", Action.SEE_BATCHES, MEMBER)


def test_only_the_desk_can_connect(operate: Addresses) -> None:
    for who in ("gateway", "other-service", "service", "stranger"):
        with pytest.raises(OperatorAPIUnavailable):
            batches(operate.called_by(who))
    assert batches(operate.called_by("desk")) == []


def test_missing_certificate_fails_the_handshake(operate: Addresses) -> None:
    context = ssl.create_default_context(cafile=str(operate.folder / "services-ca.pem"))
    connection = http.client.HTTPSConnection("localhost", operate.port, timeout=10, context=context)
    with closing(connection), pytest.raises(OSError, match=r"(?i)certificate|reset|alert"):
        connection.request("GET", "/operator/v1/batches")
        connection.getresponse()


def test_desk_certificate_without_a_token_is_refused(operate: Addresses) -> None:
    with pytest.raises(Refusal, match="token-refused"):
        batches(operate.called_by("desk", key="stranger"))


def test_desk_refuses_a_server_of_another_ca(operate: Addresses) -> None:
    right = operate.called_by("desk")
    assert right.network is not None
    deceived = replace(right, network=replace(right.network, ca_file=operate.folder / "stranger-ca.pem"))
    with pytest.raises(OperatorAPIUnavailable):
        batches(deceived)


def test_operator_api_refuses_a_public_address(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "desk-jwks.json").write_text(json.dumps({"keys": [signing_key("desk").jwk()]}))
    told = {"BIND": f"127.0.0.1:{free_port()}", "DESK_JWKS_FILE": str(tmp_path / "desk-jwks.json")}
    command = [sys.executable, "-m", "services.mailing.main", "operate"]
    ended = subprocess.run(command, env=environment | told, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.partition(":")[0]) == (1, "BIND")
