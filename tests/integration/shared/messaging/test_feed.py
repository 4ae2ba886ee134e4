"""Positions and signatures: in one order, without holes, committed before anything is sent."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from shared import db
from shared.db import Pool
from shared.events.base import Envelope, Topic
from shared.events.issuance import IssuanceWithheld, PINEnvelopeSealed
from shared.events.payment import PaymentDeclined
from shared.messaging import codec, feed_signature, outbox, relay
from shared.messaging.feed import Feed
from shared.messaging.outbox import ENVELOPE, envelope_of
from shared.security.tokens import KeySet
from shared.settings import SettingsError
from shared.tx import transaction
from shared.vocabulary import ItemId, RenewalId
from tests.support.builders import key_set, signing_key
from tests.support.engines import Database

FEED = Feed(topic=Topic.ISSUANCE, key=signing_key("feed"))
KEYS = key_set("feed")
KEY, OTHER = RenewalId(uuid.UUID(int=1)), RenewalId(uuid.UUID(int=2))


@pytest.fixture
def issuance(database: Callable[[str], Database]) -> Database:
    return database("issuance")


@pytest.fixture
def pool(issuance: Database) -> Iterator[Pool]:
    with db.open_pool(issuance.url, name="test") as opened:
        yield opened


def announce(pool: Pool, *keys: RenewalId) -> None:
    for key in keys:
        with transaction(pool) as tx:
            outbox.add(tx, IssuanceWithheld(renewal_id=key))


def rows(pool: Pool) -> list[Envelope]:
    """Return the whole outbox, oldest first."""
    with pool.connection() as conn:
        return [envelope_of(row) for row in conn.execute(f"SELECT {ENVELOPE} FROM outbox ORDER BY id").fetchall()]


def positions(pool: Pool) -> list[int | None]:
    return [envelope.position for envelope in rows(pool)]


def head(pool: Pool) -> int:
    with pool.connection() as conn:
        row = conn.execute("SELECT last_position FROM feeds").fetchone()
    assert row is not None
    return int(row[0])


@dataclass
class Kafka:
    """Keeps what it is sent and fails as configured, by number."""

    failures: dict[int, Exception] = field(default_factory=dict)
    records: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = field(default_factory=list)
    on_send: Callable[[], None] = lambda: None

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        self.on_send()
        self.records.append((topic, key, value, headers))
        return _Future(self.failures.get(len(self.records) - 1))

    def close(self, timeout: float) -> None:
        """Do nothing: there is nothing to close."""


@dataclass
class _Future:
    error: Exception | None
    is_done: bool = False

    def get(self, timeout: float) -> None:
        self.is_done = True
        if self.error is not None:
            raise self.error


def test_event_gets_the_next_position_and_a_valid_signature(pool: Pool) -> None:
    announce(pool, KEY, OTHER, KEY)
    assert relay.stamp_batch(pool, FEED) == 3
    announce(pool, KEY)
    assert relay.stamp_batch(pool, FEED) == 1
    assert relay.stamp_batch(pool, FEED) == 0
    stamped = rows(pool)
    assert [envelope.position for envelope in stamped] == [1, 2, 3, 4]
    assert {feed_signature.verify(envelope, KEYS) for envelope in stamped} == {FEED.key.kid}
    assert head(pool) == 4


def test_several_batches_leave_no_hole_in_the_positions(pool: Pool) -> None:
    announce(pool, *[KEY, OTHER] * 5)
    while relay.stamp_batch(pool, FEED, limit=3):
        pass
    assert positions(pool) == [*range(1, 11)]


def test_late_commit_gets_a_later_position_without_a_hole(pool: Pool) -> None:
    with transaction(pool) as late:
        outbox.add(late, IssuanceWithheld(renewal_id=KEY))
        announce(pool, OTHER)
        relay.stamp_batch(pool, FEED)
        assert positions(pool) == [1]
    relay.stamp_batch(pool, FEED)
    assert [(envelope.subject, envelope.position) for envelope in rows(pool)] == [(str(KEY), 2), (str(OTHER), 1)]


def test_another_topic_of_the_same_writer_is_no_feed(pool: Pool) -> None:
    sealed = PINEnvelopeSealed(
        renewal_id=KEY,
        item_id=ItemId(uuid.uuid4()),
        envelope_id=uuid.uuid4(),
        server_name="a.example.hk",
        sealed="eA==",
    )
    with transaction(pool) as tx:
        outbox.add(tx, sealed)
    announce(pool, KEY)
    relay.stamp_batch(pool, FEED)
    assert positions(pool) == [None, 1]
    kafka = Kafka()
    assert relay.relay_batch(pool, kafka) == 2
    assert [dict(headers).get("ce_position") for _, _, _, headers in kafka.records] == [None, b"1"]


def test_stamp_is_committed_before_the_first_record_is_sent(pool: Pool) -> None:
    announce(pool, KEY, OTHER)
    relay.stamp_batch(pool, FEED)
    seen: list[list[int | None]] = []
    kafka = Kafka(on_send=lambda: seen.append(positions(pool)))
    assert relay.relay_batch(pool, kafka) == 2
    assert seen == [[1, 2], [1, 2]]


def test_unstamped_event_is_not_sent(pool: Pool) -> None:
    announce(pool, KEY)
    kafka = Kafka()
    assert relay.relay_batch(pool, kafka) == 0
    assert kafka.records == []


def test_resent_event_is_byte_for_byte_the_same(pool: Pool) -> None:
    announce(pool, KEY)
    relay.stamp_batch(pool, FEED)
    kafka = Kafka(failures={0: KafkaTimeoutError()})
    with pytest.raises(KafkaTimeoutError):
        relay.relay_batch(pool, kafka)
    relay.stamp_batch(pool, FEED)
    assert relay.relay_batch(pool, kafka) == 1
    first, second = kafka.records
    assert first == second
    topic, key, value, headers = first
    assert feed_signature.verify(codec.from_record(topic, key, [*headers], value), KEYS)


def test_unsendable_event_keeps_its_position_and_later_ones_are_sent(pool: Pool) -> None:
    announce(pool, KEY, OTHER)
    relay.stamp_batch(pool, FEED)
    assert relay.relay_batch(pool, Kafka(failures={0: MessageSizeTooLargeError()})) == 1
    announce(pool, KEY, OTHER)
    relay.stamp_batch(pool, FEED)
    kafka = Kafka()
    assert relay.relay_batch(pool, kafka) == 1
    assert positions(pool) == [1, 2, 3, 4], "over HTTP they are all there"
    assert [dict(headers)["ce_position"] for _, _, _, headers in kafka.records] == [b"4"], "over Kafka 1 and 3 are not"


def test_second_relay_does_not_stamp(pool: Pool) -> None:
    announce(pool, KEY)
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (relay._RELAY_LOCK,))
        assert relay.stamp_batch(pool, FEED) == 0
    assert relay.stamp_batch(pool, FEED) == 1


def test_topic_that_is_no_feed_is_refused(database: Callable[[str], Database]) -> None:
    with db.open_pool(database("payment").url, name="test") as pool:
        with transaction(pool) as tx:
            outbox.add(tx, PaymentDeclined(renewal_id=KEY, payment_id=uuid.uuid4(), reason="x"))
        with pytest.raises(RuntimeError, match="a feed"):
            relay.stamp_batch(pool, Feed(topic=Topic.PAYMENT, key=FEED.key))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE outbox SET data = ''",
        "UPDATE outbox SET sequence = 2",
        "DELETE FROM outbox",
        "DELETE FROM feeds",
        "INSERT INTO outbox SELECT * FROM outbox",
    ],
)
def test_running_service_cannot_change_announced_events(pool: Pool, change: str) -> None:
    announce(pool, KEY)
    with pytest.raises(psycopg.Error), pool.connection() as conn:
        conn.execute(change.encode())


def test_position_is_assigned_once_and_only_with_a_signature(pool: Pool, issuance: Database) -> None:
    announce(pool, KEY, OTHER)
    relay.stamp_batch(pool, FEED)
    with psycopg.connect(issuance.superuser_url, autocommit=True) as conn:
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("UPDATE outbox SET position = 1")
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute("UPDATE outbox SET signature = NULL")


def test_unpublished_key_is_refused(tmp_path: Path) -> None:
    pem = FEED.key.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key").write_bytes(pem)
    published = {"keys": [signing_key("another").jwk()]}
    (tmp_path / "jwks").write_text(json.dumps(published))
    with pytest.raises(SettingsError, match="not published"):
        Feed.load(Topic.ISSUANCE, key_file=tmp_path / "key", jwks_file=tmp_path / "jwks")
    (tmp_path / "jwks").write_text(json.dumps({"keys": [*published["keys"], FEED.key.jwk()]}))
    loaded = Feed.load(Topic.ISSUANCE, key_file=tmp_path / "key", jwks_file=tmp_path / "jwks")
    assert loaded.key.kid in KeySet.load(tmp_path / "jwks").keys
