"""The gateway as `make run` starts it: Envoy, with the services' sockets in one folder."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.gateway.envoy import Gateway, render
from deploy.local.pki import PKI
from deploy.local.processes import envoy_command
from deploy.local.waiting import free_port, is_taken, wait_until


def gateway_in(folder: Path, pki: PKI, **changes: Any) -> Gateway:
    """Return a gateway on a free port, whose sockets and configuration lie in this folder."""
    return Gateway(
        port=free_port(),
        plain_port=free_port(),
        certificate=pki.gateway / "tls.pem",
        key=pki.gateway / "tls.key",
        client_cas=pki.client_cas,
        sockets=folder,
        admin_socket=folder / "envoy-admin.sock",
        **changes,
    )


@contextmanager
def running_gateway(gateway: Gateway) -> Iterator[int]:
    """Run Envoy until the block ends. Yields its process id once it listens."""
    configuration = gateway.sockets / "envoy.json"
    configuration.write_text(render(gateway))
    envoy = subprocess.Popen(envoy_command(configuration), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_taken(gateway.port), limit=20, what="Envoy listens")
        yield envoy.pid
    finally:
        envoy.terminate()
        envoy.wait(20)
