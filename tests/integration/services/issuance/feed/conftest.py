"""The feed's app on a fresh database, with the rights of its own role, and clients with certificates."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import flask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse

from deploy.local import pki as local_pki
from services.issuance.feed import main, readers, store
from services.issuance.feed.readers import Role
from services.issuance.feed.settings import Settings
from shared import db
from shared.db import Pool
from shared.events.base import Envelope, Event
from shared.messaging import outbox, relay
from shared.messaging.feed import Feed
from shared.settings import WebSettings
from shared.tx import transaction
from tests.integration.services.issuance.feed.running import Running, running
from tests.support.builders import signing_key
from tests.support.engines import Database, Kafka, Postgres, running_kafka, wait_until

FEED = Feed(topic=store.FEED, key=signing_key("feed"))


@dataclass(frozen=True, kw_only=True)
class Client:
    """A system of the back office, or who would like to be one."""

    pem: str

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pem.encode())

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def headers(self) -> dict[str, str]:
        """Header as Envoy writes it."""
        return {"X-Forwarded-Client-Cert": f'Cert="{quote(self.pem, safe="")}"'}


def client(name: str, *, begins: timedelta = timedelta(days=-1), ends: timedelta = timedelta(days=30)) -> Client:
    """Return a client with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    return Client(pem=made.public_bytes(serialization.Encoding.PEM).decode())


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """issuance's side of the feed, and its app."""

    pool: Pool
    app: flask.Flask

    @property
    def http(self) -> FlaskClient:
        return self.app.test_client()

    def announce(self, *events: Event) -> None:
        """Announce each event in a transaction of its own and stamp it at once."""
        for event in events:
            with transaction(self.pool) as tx:
                outbox.add(tx, event)
        relay.stamp_batch(self.pool, FEED)

    def register(self, who: Client, name: str = "backoffice", role: Role = Role.READER) -> None:
        with transaction(self.pool) as tx:
            readers.register(tx, name, role, who.pem.encode(), actor="test")

    def withdraw(self, who: Client) -> None:
        with transaction(self.pool) as tx:
            readers.withdraw(tx, who.sha256, actor="test", reason="left")

    def read(self, who: Client | None, **query: object) -> TestResponse:
        headers = who.headers if who else {}
        return self.http.get("/issuance/v1/issuance-events", query_string=query, headers=headers)

    def await_waiting(self, number: int) -> None:
        """Wait until so many requests wait at the head."""
        wait_until(
            lambda: REGISTRY.get_sample_value("feed_waiting_requests") == number, limit=10, what=f"{number} wait"
        )

    def stored(self) -> Sequence[Envelope]:
        with self.pool.connection() as conn:
            rows = conn.execute(
                f"SELECT {outbox.ENVELOPE} FROM outbox WHERE position IS NOT NULL ORDER BY position"
            ).fetchall()
        return [outbox.envelope_of(row) for row in rows]


@pytest.fixture
def database_of_feed(database: Callable[[str], Database]) -> Database:
    return database("issuance")


@pytest.fixture
def feeding(database_of_feed: Database, postgres: Postgres, tmp_path: Any) -> Iterator[Feeding]:
    """The app reads as `issuance_feed`; what is announced is announced as `issuance`."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text('{"keys": []}')
    settings = Settings(
        database_url=postgres.url(database_of_feed.name, "issuance_feed"),
        log_level="INFO",
        web=WebSettings(bind="unix:/nowhere", threads=12, tls=None),
        admin=("127.0.0.1", 0),
        jwks_file=jwks,
    )
    with (
        db.open_pool(database_of_feed.url, name="test") as pool,
        db.open_pool(settings.database_url, name="feed") as own,
    ):
        app, head = main.make_app(own, settings)
        head.start()
        yield Feeding(pool=pool, app=app)
        head.close()
        time.sleep(0.05)


@pytest.fixture
def reader(feeding: Feeding) -> Client:
    """A registered one."""
    made = client("backoffice")
    feeding.register(made)
    return made


@pytest.fixture(scope="package")
def pki(tmp_path_factory: pytest.TempPathFactory) -> local_pki.PKI:
    """A test PKI as `make run` makes it."""
    made = local_pki.PKI(tmp_path_factory.mktemp("pki"))
    passwords = dict.fromkeys(local_pki.PASSWORDS, "password")
    local_pki.create(made, passwords, now=datetime.now(UTC))
    return made


@pytest.fixture
def feed(pki: local_pki.PKI, issuance: Database, postgres: Postgres, environment: dict[str, str]) -> Iterator[Running]:
    """The real processes behind the real gateway."""
    with running(pki, issuance, postgres, environment) as made:
        yield made


@pytest.fixture
def own_kafka() -> Iterator[Kafka]:
    """A broker that this test may kill."""
    with running_kafka() as kafka:
        yield kafka
