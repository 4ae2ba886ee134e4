"""Envoy as `make run` starts it, with an echo in place of each service."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.gateway.rules import REQUEST_SECONDS
from deploy.local.pki import PKI
from tests.integration.deploy.local.echo import Client, echoing
from tests.support.gateway import gateway_in, running_gateway

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
    """Run Envoy with an echo for each of these services."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sockets = Path(folder)
        gateway = gateway_in(
            sockets,
            pki,
            request_seconds=request_seconds,
            limits_rates=limits_rates,
            trusted_hops=trusted_hops,
        )
        for service in services:
            stack.enter_context(echoing(gateway.socket(service)))
        envoy = stack.enter_context(running_gateway(gateway))
        yield Client(
            port=gateway.port, plain_port=gateway.plain_port or 0, root=pki.gateway / "root.pem", process=envoy
        )
