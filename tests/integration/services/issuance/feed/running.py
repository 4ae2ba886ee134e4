"""The feed's real processes: relay, feed and gateway, on a database and a broker of their own."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.gateway.rules import FEED
from deploy.local import back_office
from deploy.local.pki import FEED_KEY, PKI
from deploy.local.waiting import free_port, wait_until
from tests.integration.services.issuance.feed.ways import Curl
from tests.support.engines import Database, Kafka, Postgres
from tests.support.gateway import gateway_in, running_gateway

ROOT = Path(__file__).parents[5]


@dataclass(frozen=True, kw_only=True)
class Running:
    """Addresses and files of the running feed."""

    pki: PKI
    port: int
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    sockets: Path
    admin_port: int

    def curl(self, client: str) -> Curl:
        """Return one of the sample clients."""
        certificate = self.pki.back_office / f"{client}.pem"
        return Curl(port=self.port, root=self.pki.gateway / "root.pem", certificate=certificate)

    def metric(self, name: str) -> float | None:
        """Return what the feed's process says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as page:
            lines = [line.split() for line in page.read().decode().splitlines()]
        return next((float(value) for found, *_, value in lines if found == name), None)

    @property
    def jwks(self) -> Path:
        """The published keys."""
        return self.pki.signing / f"{FEED_KEY}-jwks.json"

    @contextmanager
    def relay(self, kafka: Kafka) -> Iterator[None]:
        """Run issuance's relay until the block ends."""
        key = {"FEED_KEY_FILE": str(self.pki.signing / f"{FEED_KEY}.key"), "FEED_JWKS_FILE": str(self.jwks)}
        with started("relay", {**self.environment, **kafka.environment("issuance"), **key}):
            yield


@contextmanager
def started(command: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process of issuance; it must end well when it is asked to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.issuance.main", command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LOG_LEVEL": "WARNING", **environment},
    )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


@contextmanager
def running(pki: PKI, database: Database, postgres: Postgres, environment: Mapping[str, str]) -> Iterator[Running]:
    """Yield feed and gateway, with the sample clients registered."""
    back_office.register(pki.back_office, database.url)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sockets = Path(folder)
        gateway = gateway_in(sockets, pki)
        jwks = pki.signing / f"{FEED_KEY}-jwks.json"
        told = {
            "BIND": f"unix:{gateway.socket(FEED)}",
            "WEB_THREADS": "12",
            "FEED_DATABASE_URL": postgres.url(database.name, "issuance_feed"),
            "FEED_JWKS_FILE": str(jwks),
            "ADMIN_PORT": str(free_port()),
        }
        process = stack.enter_context(started("feed", told))
        made = Running(
            pki=pki,
            port=gateway.port,
            environment=environment,
            process=process,
            sockets=sockets,
            admin_port=int(told["ADMIN_PORT"]),
        )
        wait_until(gateway.socket(FEED).exists, limit=30, what="the feed listens")
        stack.enter_context(running_gateway(gateway))
        yield made
