"""gunicorn over a network, as behind the gateway of a cluster: mutual TLS, and the platform's page beside it."""

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.gateway.envoy import Network
from deploy.gateway.rules import API_HOST, BACKENDS
from deploy.local import pki as local_pki
from deploy.local.inside import InsideCA
from tests.integration.deploy.local.echo import Client
from tests.support.engines import Database, free_port, wait_until
from tests.support.gateway import gateway_in, running_gateway

ROOT = Path(__file__).parents[4]
NOTHING = "/small/v1/nothing"


@dataclass(frozen=True)
class Server:
    port: int
    admin_port: int
    folder: Path

    def ask(self, who: str | None, path: str = NOTHING) -> int:
        """Return the answer's status for the certificate WHO.pem. Raises OSError if it is refused."""
        context = ssl.create_default_context(cafile=str(self.folder / "services-ca.pem"))
        if who is not None:
            context.load_cert_chain(self.folder / f"{who}.pem", self.folder / f"{who}.key")
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        return self._status(connection, path)

    def platform(self, path: str) -> int:
        return self._status(http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10), path)

    def _status(self, connection: http.client.HTTPConnection, path: str) -> int:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def is_up(self) -> bool:
        try:
            return self.platform("/readyz") == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the service, of the gateway, of another service, of a stranger who calls himself gateway."""
    made = tmp_path_factory.mktemp("inside")
    services, gateways, strangers = (InsideCA.make(name, now=datetime.now(UTC)) for name in ("s", "g", "x"))
    (made / "services-ca.pem").write_bytes(services.pem)
    (made / "gateway-ca.pem").write_bytes(gateways.pem)
    services.issue(("localhost",), made / "service")
    services.issue(("other-service",), made / "other-service")
    gateways.issue(("gateway",), made / "gateway")
    strangers.issue(("gateway",), made / "stranger")
    services.issue(("localhost",), made / "renewed")
    return made


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> local_pki.PKI:
    """Certificate that the gateway shows to the public."""
    made = local_pki.PKI(tmp_path_factory.mktemp("pki"))
    local_pki.create(made, dict.fromkeys(local_pki.PASSWORDS, "password"), now=datetime.now(UTC))
    return made


@pytest.fixture
def server(folder: Path, database: Callable[[str], Database]) -> Iterator[Server]:
    made = Server(free_port(), free_port(), folder)
    told = {
        "BIND": f"127.0.0.1:{made.port}",
        "ADMIN_PORT": str(made.admin_port),
        "TLS_CERTIFICATE_FILE": str(folder / "service.pem"),
        "TLS_KEY_FILE": str(folder / "service.key"),
        "TLS_CLIENT_CA_FILE": str(folder / "gateway-ca.pem"),
    }
    command = [sys.executable, "-m", "tests.integration.shared.web.small_service", database("application").url]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | told)
    try:
        wait_until(made.is_up, limit=30, what="it answers", every=0.1)
        yield made
    finally:
        process.kill()
        process.wait()


def test_only_the_gateway_can_connect(server: Server) -> None:
    assert server.ask("gateway") == 404
    for who in (None, "other-service", "stranger"):
        with pytest.raises(OSError, match=r"(?i)certificate|unknown ca|reset|alert"):
            server.ask(who)
    with pytest.raises((OSError, http.client.HTTPException)):
        server._status(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10), NOTHING)
    assert server.ask("gateway") == 404


@contextmanager
def envoy(server: Server, pki: local_pki.PKI, *, client: str, services_ca: str) -> Iterator[Client]:
    """Yield the real gateway, with this server for every service."""
    folder = server.folder
    network = Network(
        addresses=dict.fromkeys(BACKENDS, ("localhost", server.port)),
        services_ca=folder / f"{services_ca}.pem",
        certificate=folder / f"{client}.pem",
        key=folder / f"{client}.key",
    )
    gateway = gateway_in(folder, pki, network=network)
    with running_gateway(gateway):
        yield Client(port=gateway.port, root=pki.gateway / "root.pem")


@pytest.mark.parametrize(
    ("client", "services_ca", "status"),
    [("gateway", "services-ca", 404), ("other-service", "services-ca", 503), ("gateway", "gateway-ca", 503)],
)
def test_envoy_and_the_service_authenticate_each_other(
    server: Server, pki: local_pki.PKI, client: str, services_ca: str, status: int
) -> None:
    with envoy(server, pki, client=client, services_ca=services_ca) as through:
        answer = through.ask(API_HOST, "/application/v1/nothing")
    assert answer.status == status
    assert ("x-request-id" in answer.headers) == (status == 404)


def test_health_pages_are_on_the_admin_port_only(server: Server) -> None:
    assert [server.platform(path) for path in ("/livez", "/readyz", "/metrics", NOTHING)] == [200, 200, 200, 404]
    assert [server.ask("gateway", path) for path in ("/livez", "/readyz", "/metrics")] == [404, 404, 404]


def test_renewed_certificate_is_used_without_a_restart(server: Server, folder: Path) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", server.port))

    before = shown()
    for kind in ("key", "pem"):
        (folder / f"renewed.{kind}").replace(folder / f"service.{kind}")
    assert shown() != before
    assert server.ask("gateway") == 404
