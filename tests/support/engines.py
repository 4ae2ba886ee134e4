"""The real PostgreSQL and Kafka that tests run against, as throw-away engines."""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from deploy.kafka.topics import PARTITIONS, PRINCIPALS
from deploy.local import kafka as local_kafka
from deploy.local import postgres as local_postgres
from deploy.local.installation import CACHE
from deploy.local.waiting import TookTooLong, free_port, wait_until
from deploy.postgres.roles import ROLES, migrations_folder
from shared.events.base import Topic
from shared.runtime.migrate import load, migrate
from tests.support.databases import AsNew
from tests.support.issued import Issued

__all__ = [
    "Database",
    "Kafka",
    "Postgres",
    "TookTooLong",
    "free_port",
    "running_kafka",
    "running_postgres",
    "wait_until",
]

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = ROOT / "services"
_names: Final = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Database:
    """One service's database, migrated and empty, with the addresses its roles use in production too."""

    service: str
    name: str
    url: str
    migrate_url: str
    superuser_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which the service finds it."""
        prefix = self.service.upper()
        return {
            f"{prefix}_DATABASE_URL": self.url,
            f"{prefix}_MIGRATE_DATABASE_URL": self.migrate_url,
        }


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A throw-away cluster with every service's roles."""

    cluster: local_postgres.Cluster
    passwords: Mapping[str, str]
    templates: dict[str, AsNew] = field(default_factory=dict)
    issued: Issued = field(default_factory=Issued)
    _used: dict[str, list[str]] = field(default_factory=dict)

    def url(self, database: str, role: str) -> str:
        """Return the address of a database for one role."""
        return self.cluster.url(database, role, self.passwords[role])

    @contextlib.contextmanager
    def database(self, service: str) -> Iterator[Database]:
        """Yield a database of this service as its migrations leave it, nobody else's as long as the block lasts."""
        used = self._used.setdefault(service, [])
        name = used.pop() if used else self._new(service)
        try:
            yield self._describe(service, name)
        finally:
            if self.templates[service].restore(self.cluster.url(name)):
                used.append(name)
            else:
                local_postgres.drop_database(self.cluster, name)

    def _new(self, service: str) -> str:
        template = f"{service}_template"
        if service not in self.templates:
            local_postgres.add_database(self.cluster, service, name=template)
            migrations = load(service, migrations_folder(ROOT, service))
            migrate(self.url(template, f"{service}_migrate"), migrations, runtime_role=service)
            self.templates[service] = AsNew.read(self.cluster.url(template))
        return local_postgres.add_database(self.cluster, service, name=f"{service}_{next(_names)}", template=template)

    def _describe(self, service: str, name: str) -> Database:
        return Database(
            service=service,
            name=name,
            url=self.url(name, service),
            migrate_url=self.url(name, f"{service}_migrate"),
            superuser_url=self.cluster.url(name),
        )


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """A real broker with one principal per service, its topics made."""

    broker: local_kafka.Broker
    passwords: Mapping[str, str]

    @property
    def address(self) -> str:
        """Address of the broker for clients."""
        return self.broker.address

    def settings(self, principal: str) -> dict[str, Any]:
        """Return the connection settings of a kafka-python client that logs in as this principal."""
        password = self.broker.password if principal == local_kafka.ADMIN else self.passwords[principal]
        return local_kafka.client_settings(self.address, principal, password)

    def environment(self, principal: str) -> dict[str, str]:
        """Return the settings by which a service's process logs in."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_USERNAME": principal,
            "KAFKA_PASSWORD": self.passwords[principal],
        }

    def empty(self, *topics: Topic) -> None:
        """Delete every record of these topics, or of all."""
        partitions = [TopicPartition(topic.value, n) for topic in topics or tuple(Topic) for n in range(PARTITIONS)]
        login = self.settings(local_kafka.ADMIN)
        with (
            contextlib.closing(KafkaConsumer(**login)) as reader,
            contextlib.closing(KafkaAdminClient(**login)) as admin,
        ):
            ends = reader.end_offsets(partitions)
            admin.delete_records({partition: end for partition, end in ends.items() if end})


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield a cluster that lives as long as the block."""
    with _folder("postgres") as folder:
        cluster = local_postgres.Cluster(folder=folder, port=free_port(), password="superuser", throw_away=True)
        passwords = {role: f"{role}-password" for role in ROLES}
        with local_postgres.running(cluster):
            local_postgres.add_roles(cluster, passwords)
            yield Postgres(cluster=cluster, passwords=passwords)


@contextlib.contextmanager
def running_kafka() -> Iterator[Kafka]:
    """Yield a broker that lives as long as the block."""
    with _folder("kafka") as folder:
        broker = local_kafka.Broker(
            folder=folder,
            cache=CACHE,
            port=free_port(),
            controller_port=free_port(),
            password="administrator",
        )
        passwords = {principal: f"{principal}-password" for principal in PRINCIPALS}
        with local_kafka.running(broker):
            local_kafka.deploy(broker, passwords)
            yield Kafka(broker=broker, passwords=passwords)


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    # Not pytest's own temporary folder: as root that one is closed to the user PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix=f"ecert-test-{name}-"))
    try:
        os.chmod(folder, 0o755)
        yield folder / name
    finally:
        shutil.rmtree(folder)
