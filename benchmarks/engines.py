"""PostgreSQL and Kafka for the duration of a benchmark, with fsync on as in production."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.topics import PRINCIPALS
from deploy.local import kafka as local_kafka
from deploy.local import postgres as local_postgres
from deploy.local.waiting import free_port
from deploy.postgres.roles import ROLES
from shared.runtime.migrate import load, migrate
from shared.settings import KafkaSettings

ROOT = Path(__file__).parents[1]
_PASSWORD = "benchmark"  # noqa: S105 (of a throw-away engine)


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Addresses of the engines, which can be passed to other processes."""

    urls: dict[str, str]
    kafka_address: str

    def kafka(self, principal: str) -> KafkaSettings:
        """Return a service's Kafka settings."""
        return KafkaSettings(
            bootstrap_servers=self.kafka_address,
            security_protocol="SASL_PLAINTEXT",
            username=principal,
            password=_PASSWORD,
            ca_file=None,
            certificate_file=None,
            key_file=None,
            session_timeout_ms=10_000,
        )


@contextlib.contextmanager
def running(*services: str) -> Iterator[Engines]:
    """Yield both engines, with a migrated database for each of these services."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-benchmark-"))
    try:
        folder.chmod(0o755)
        cluster = local_postgres.Cluster(folder=folder / "postgres", port=free_port(), password=_PASSWORD)
        broker = local_kafka.Broker(
            folder=folder / "kafka",
            cache=ROOT / ".local" / "cache",
            port=free_port(),
            controller_port=free_port(),
            password=_PASSWORD,
        )
        with local_postgres.running(cluster), local_kafka.running(broker):
            local_kafka.deploy(broker, dict.fromkeys(PRINCIPALS, _PASSWORD))
            local_postgres.add_roles(cluster, dict.fromkeys(ROLES, _PASSWORD))
            urls = {service: _database(cluster, service) for service in services}
            yield Engines(urls=urls, kafka_address=broker.address)
    finally:
        shutil.rmtree(folder)


def _database(cluster: local_postgres.Cluster, service: str) -> str:
    local_postgres.add_database(cluster, service)
    files = load(service, ROOT / "services" / service / "migrations")
    migrate(cluster.url(service, f"{service}_migrate", _PASSWORD), files, runtime_role=service)
    return cluster.url(service, service, _PASSWORD)
