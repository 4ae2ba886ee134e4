"""Envoy as `make run` starts it, with an echo in place of each service."""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.gateway.envoy import Gateway, render
from deploy.gateway.rules import REQUEST_SECONDS
from deploy.local.pki import PKI
from deploy.local.processes import envoy_command
from deploy.local.waiting import free_port, is_taken, wait_until
from tests.integration.deploy.local.echo import Client, echoing

API, SIGN_IN, PAGES = "api.ecert.localhost", "signin.ecert.localhost", "portal.ecert.localhost"


@contextmanager
def gateway_with(
    pki: PKI,
    services: Iterable[str],
    *,
    request_seconds: float = REQUEST_SECONDS,
    limits_rates: bool = False,
    trusted_hops: int = 0,
) -> Iterator[Client]:
    """Envoy with an echo for each of these services."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        sockets = Path(folder)
        gateway = Gateway(
            port=free_port(),
            certificate=pki.gateway / "tls.pem",
            key=pki.gateway / "tls.key",
            client_cas=pki.client_cas,
            sockets=sockets,
            admin_socket=sockets / "envoy-admin.sock",
            request_seconds=request_seconds,
            limits_rates=limits_rates,
            trusted_hops=trusted_hops,
        )
        for service in services:
            running.enter_context(echoing(gateway.socket(service)))
        configuration = sockets / "envoy.json"
        configuration.write_text(render(gateway))
        envoy = subprocess.Popen(envoy_command(configuration), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: is_taken(gateway.port), limit=20, what="Envoy listens")
            yield Client(port=gateway.port, root=pki.gateway / "root.pem", process=envoy.pid)
        finally:
            envoy.terminate()
            envoy.wait(timeout=10)
