"""Feed of the conformance suite: invented renewals, announced and sent by the real code, and faults."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

import psycopg

from deploy.gateway.envoy import Gateway, render
from deploy.gateway.rules import BACK_OFFICE_HOST, FEED, Clients
from deploy.kafka.topics import PRINCIPALS
from deploy.local import back_office, gateway_certificate, kafka, pki, postgres
from deploy.local.installation import CACHE, ROOT
from deploy.local.processes import envoy_command
from deploy.local.waiting import free_port, is_taken, wait_until
from deploy.postgres.roles import ROLES, migrations_folder
from shared import db
from shared.db import Pool
from shared.events.base import Event, RenewalEvent, Topic
from shared.events.issuance import CertificateAccepted, CertificateIssued, CSRReceived, OrderOpened
from shared.lifecycle import Lifecycle
from shared.messaging import kafka_clients, outbox, relay
from shared.messaging.feed import Feed
from shared.runtime import migrate
from shared.settings import KafkaSettings
from shared.tx import transaction
from shared.vocabulary import ItemId, Product, RenewalId

READER: Final = "backoffice"
PER_RENEWAL: Final = 4
# As long as a real certificate; its content does not matter.
_PEM: Final = "-----BEGIN CERTIFICATE-----\n" + 28 * (64 * "A" + "\n") + "-----END CERTIFICATE-----\n"
_PASSWORD: Final = "practice"  # noqa: S105 (lives as long as the trial, on loopback)


@dataclass(frozen=True, kw_only=True)
class CertificateIssuedLater(RenewalEvent):
    """An event of a version that no reader knows."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-issued.v2"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    fingerprint: str


@dataclass(kw_only=True)
class Practice:
    """The running feed and its faults."""

    folder: Path
    cluster: postgres.Cluster
    broker: kafka.Broker
    pool: Pool
    port: int
    feed_process: int
    _broker_process: "subprocess.Popen[bytes] | None" = None
    _relay: "tuple[Lifecycle, threading.Thread] | None" = None
    _renewals: int = field(default=0)

    def announce(self, renewals: int) -> None:
        """Announce renewals, with four events each."""
        for _ in range(renewals):
            self._renewals += 1
            for event in made_up(self._renewals):
                self._announce(event)

    def announce_unknown(self) -> None:
        """Announce an event of an unknown version."""
        self._renewals += 1
        renewal = RenewalId(uuid.uuid5(uuid.NAMESPACE_OID, f"practice {self._renewals}"))
        self._announce(CertificateIssuedLater(renewal_id=renewal, fingerprint="f" * 64))

    def _announce(self, event: Event) -> None:
        with transaction(self.pool) as tx:
            outbox.add(tx, event)

    @property
    def head(self) -> int:
        """The last position of the feed."""
        with self.pool.connection() as conn:
            row = conn.execute("SELECT last_position FROM feeds").fetchone()
        assert row is not None
        return int(row[0])

    def stamp(self) -> None:
        """Stamp announced events without sending them."""
        feed = load_feed(self.folder)
        while relay.stamp_batch(self.pool, feed):
            pass

    def lose(self, position: int) -> None:
        """Delete an event everywhere."""
        self._damage("DELETE FROM outbox WHERE position = %s", position)

    def forge(self, position: int) -> None:
        """Change an event in the database, without the key."""
        self._damage("UPDATE outbox SET data = convert_to('{\"forged\":true}', 'UTF8') WHERE position = %s", position)

    def repeat(self) -> None:
        """Send everything once more."""
        self._damage("UPDATE outbox SET sent_at = NULL WHERE position > %s", 0)

    def _damage(self, statement: str, position: int) -> None:
        with psycopg.connect(self.cluster.url("issuance")) as conn:
            conn.execute(statement.encode(), (position,))

    def start_relay(self) -> None:
        """Start the relay, which stamps and sends."""
        feed, life = load_feed(self.folder), Lifecycle()
        settings = self.kafka("issuance")
        thread = threading.Thread(
            target=relay.run,
            args=(self.pool, lambda: kafka_clients.make_producer(settings, "practice"), life),
            kwargs={"feed": feed},
        )
        thread.start()
        self._relay = (life, thread)

    def stop_relay(self) -> None:
        """Stop the relay."""
        if self._relay is not None:
            life, thread = self._relay
            life.end()
            thread.join(30)
            self._relay = None

    def wait_until_sent(self, limit: float = 60) -> None:
        """Wait until Kafka has all events."""
        wait_until(lambda: not self._unsent(), limit=limit, what="everything is sent", every=0.1)

    def _unsent(self) -> bool:
        with self.pool.connection() as conn:
            return conn.execute("SELECT 1 FROM outbox WHERE sent_at IS NULL LIMIT 1").fetchone() is not None

    def start_broker(self) -> None:
        """Start Kafka with its earlier data."""
        with (self.folder / "kafka.log").open("ab") as log:
            self._broker_process = subprocess.Popen(self.broker.command(), stdout=log, stderr=log)
        wait_until(lambda: kafka.is_ready(self.broker), limit=90, what="Kafka answers", every=0.1)

    def kill_broker(self) -> None:
        """Send SIGKILL to Kafka."""
        if self._broker_process is not None:
            self._broker_process.send_signal(signal.SIGKILL)
            self._broker_process.wait(20)
            self._broker_process = None

    def kafka(self, principal: str) -> KafkaSettings:
        """Return a principal's Kafka settings."""
        return KafkaSettings(
            bootstrap_servers=self.broker.address,
            security_protocol="SASL_PLAINTEXT",
            username=principal,
            password=_PASSWORD,
            ca_file=None,
            certificate_file=None,
            key_file=None,
            session_timeout_ms=10_000,
        )

    def environment(self, group: str, state: Path) -> dict[str, str]:
        """Return the environment of a consumer under test."""
        clients = self.folder / "back-office"
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_USERNAME": READER,
            "KAFKA_PASSWORD": _PASSWORD,
            "FEED_GROUP": f"{READER}.{group}",
            "FEED_URL": f"https://{BACK_OFFICE_HOST}:{self.port}",
            "FEED_ADDRESS": f"127.0.0.1:{self.port}",
            "FEED_CLIENT_CERTIFICATE_FILE": str(clients / f"{READER}.pem"),
            "FEED_CLIENT_KEY_FILE": str(clients / f"{READER}.key"),
            "FEED_CA_FILE": str(self.folder / "gateway" / "root.pem"),
            "FEED_JWKS_FILE": str(_jwks(self.folder)),
            "FEED_PATIENCE_SECONDS": "5",
            "STATE_FOLDER": str(state),
            "BACKOFFICE_STATE_FILE": str(state / "state.sqlite"),
        }


def load_feed(folder: Path) -> Feed:
    """Return the feed's topic and key, for stamping."""
    return Feed.load(Topic.ISSUANCE, key_file=folder / f"{pki.FEED_KEY}.key", jwks_file=_jwks(folder))


def made_up(number: int) -> list[Event]:
    """Return PER_RENEWAL events of an invented renewal."""
    renewal = RenewalId(uuid.uuid5(uuid.NAMESPACE_OID, f"practice {number}"))
    item, serial, names = ItemId(renewal), f"{number:032x}", (f"host{number}.practice.example.hk",)
    now = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
    srn = f"{number:010d}"
    return [
        OrderOpened(
            renewal_id=renewal,
            item_id=item,
            reference=f"E-{number:010d}",
            srn=srn,
            product=Product.STANDARD,
            server_names=names,
        ),
        CSRReceived(renewal_id=renewal, item_id=item, csr_sha256="5f" * 32, spki_sha256="a9" * 32, key_kind="ec-p256"),
        CertificateIssued(
            renewal_id=renewal,
            item_id=item,
            srn=srn,
            serial=serial,
            server_names=names,
            not_before=now,
            not_after=now + timedelta(days=199),
            certificate_sha256="c3" * 32,
            certificate=_PEM,
        ),
        CertificateAccepted(renewal_id=renewal, item_id=item, serial=serial, accepted_at=now),
    ]


@contextlib.contextmanager
def running(folder: Path, *, throw_away: bool = True) -> Iterator[Practice]:
    """Yield an empty feed for the duration of the block; its database uses fsync unless `throw_away`."""
    now = datetime.now(UTC).replace(microsecond=0)
    pki.write_signing_key(folder, pki.FEED_KEY)
    gateway_certificate.write(pki.PKI(folder).gateway, now)
    back_office.write(folder / "back-office", now)
    cluster = postgres.Cluster(folder=folder / "postgres", port=free_port(), password=_PASSWORD, throw_away=throw_away)
    node = kafka.Broker(
        folder=folder / "kafka", cache=CACHE, port=free_port(), controller_port=free_port(), password=_PASSWORD
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(postgres.running(cluster))
        pool = stack.enter_context(db.open_pool(_database(cluster), name="practice"))
        port, feed_process = stack.enter_context(_reachable(folder, cluster))
        practice = Practice(
            folder=folder, cluster=cluster, broker=node, pool=pool, port=port, feed_process=feed_process
        )
        back_office.register(folder / "back-office", cluster.url("issuance", "issuance", _PASSWORD))
        kafka.create(node)
        stack.callback(practice.kill_broker)
        practice.start_broker()
        kafka.deploy(node, dict.fromkeys(PRINCIPALS, _PASSWORD))
        stack.callback(practice.stop_relay)
        yield practice


def _database(cluster: postgres.Cluster) -> str:
    postgres.add_roles(cluster, dict.fromkeys(ROLES, _PASSWORD))
    postgres.add_database(cluster, "issuance")
    files = migrate.load("issuance", migrations_folder(ROOT, "issuance"))
    migrate.migrate(cluster.url("issuance", "issuance_migrate", _PASSWORD), files, runtime_role="issuance")
    return cluster.url("issuance", "issuance", _PASSWORD)


@contextlib.contextmanager
def _reachable(folder: Path, cluster: postgres.Cluster) -> Iterator[tuple[int, int]]:
    """Yield the feed's process with the gateway before it: the gateway's port and the process's id."""
    gateway = Gateway(
        port=free_port(),
        certificate=folder / "gateway" / "tls.pem",
        key=folder / "gateway" / "tls.key",
        client_cas=dict.fromkeys(Clients, folder / "back-office" / "ca.pem"),
        sockets=folder,
        admin_socket=folder / "envoy-admin.sock",
    )
    (folder / "envoy.json").write_text(render(gateway))
    told = {
        "PATH": os.environ["PATH"],
        "LOG_LEVEL": "WARNING",
        "BIND": f"unix:{gateway.socket(FEED)}",
        "WEB_THREADS": "16",
        "FEED_DATABASE_URL": cluster.url("issuance", "issuance_feed", _PASSWORD),
        "FEED_JWKS_FILE": str(_jwks(folder)),
    }
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "feed.log").open("ab"))
        feed = subprocess.Popen(
            [sys.executable, "-m", "services.issuance.main", "feed"], cwd=ROOT, env=told, stdout=log, stderr=log
        )
        stack.callback(feed.wait, 30)
        stack.callback(feed.terminate)
        envoy = subprocess.Popen(envoy_command(folder / "envoy.json"), stdout=log, stderr=log)
        stack.callback(envoy.wait, 20)
        stack.callback(envoy.terminate)
        wait_until(lambda: is_taken(gateway.port), limit=30, what="the gateway listens")
        wait_until(gateway.socket(FEED).exists, limit=60, what="the feed listens")
        yield gateway.port, feed.pid


def _jwks(folder: Path) -> Path:
    return folder / f"{pki.FEED_KEY}-jwks.json"
