"""The relay's fair share: a partition or topic that cannot be written holds up no other, on a real PostgreSQL."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.partitioner import murmur2

from deploy.kafka.topics import PARTITIONS
from shared import db
from shared.db import Pool
from shared.events.base import Topic
from shared.events.issuance import PINEnvelopeSealed
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import outbox, relay
from shared.messaging.relay_lanes import LANES, Lanes
from shared.tx import transaction
from shared.vocabulary import ItemId, RenewalId
from tests.support.engines import Database, wait_until

DEAD = 3


def partition(key: str) -> int:
    """Return Kafka's own choice."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS


def new_key(*, dead: bool = False) -> RenewalId:
    """Return a renewal of the partition that cannot be written, or of any other."""
    while True:
        key = RenewalId(uuid.uuid4())
        if (partition(str(key)) == DEAD) is dead:
            return key


@pytest.fixture
def database_(database: Callable[[str], Database]) -> Database:
    return database("payment")


@pytest.fixture
def pool(database_: Database) -> Iterator[Pool]:
    with db.open_pool(database_.url, name="test") as opened:
        yield opened


def announce(pool: Pool, *keys: RenewalId) -> None:
    with transaction(pool) as tx:
        for key in keys:
            outbox.add(tx, PaymentDeclined(renewal_id=key, payment_id=uuid.uuid4(), reason="x"))


def unsent(pool: Pool) -> list[str]:
    with pool.connection() as conn:
        rows = conn.execute("SELECT DISTINCT key FROM outbox WHERE sent_at IS NULL").fetchall()
    return [key for (key,) in rows]


class Pending:
    """A send whose outcome comes at a moment, as a delivery time-out does."""

    def __init__(self, at: float, error: Exception | None) -> None:
        self._at = at
        self._error = error

    @property
    def is_done(self) -> bool:
        return time.monotonic() >= self._at

    def get(self, timeout: float) -> None:
        time.sleep(max(0.0, min(timeout, self._at - time.monotonic())))
        if not self.is_done:
            raise KafkaTimeoutError("not yet")
        if self._error is not None:
            raise self._error


@dataclass
class Broker:
    """A producer that gives up after so many seconds for one partition, or fails by order for a topic or a value."""

    seconds: float = 1.5
    mended: bool = False
    topics: dict[str, KafkaError] = field(default_factory=dict)
    keys: dict[str, Exception] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        name = key.decode()
        self.attempts.append(name)
        if topic in self.topics:
            raise self.topics[topic]
        if name in self.keys:
            raise self.keys[name]
        if partition(name) == DEAD and not self.mended:
            return Pending(time.monotonic() + self.seconds, NotEnoughReplicasError())
        self.sent.append(name)
        return Pending(0.0, None)

    def close(self, timeout: float) -> None:
        """Do nothing: there is nothing to close."""


def test_lane_of_a_key_is_its_partition(pool: Pool) -> None:
    assert LANES == PARTITIONS
    keys = [*(str(uuid.uuid4()) for _ in range(300)), "", "a", "ab", "abc", "abcd", "é中", "x" * 37]
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT kafka_lane(k) FROM unnest(%s::text[]) WITH ORDINALITY AS u (k, n) ORDER BY n", (keys,)
        )
        assert [lane for (lane,) in rows.fetchall()] == [partition(key) for key in keys]


def test_rows_of_a_dead_partition_do_not_fill_the_batch(pool: Pool) -> None:
    announce(pool, *(new_key(dead=True) for _ in range(60)))
    others = [new_key() for _ in range(5)]
    announce(pool, *others)
    broker = Broker(seconds=0.2)
    assert relay.relay_batch(pool, broker, limit=40) == 5
    assert sorted(broker.sent) == sorted(map(str, others))
    assert len(broker.attempts) == 5 + 10, "the dead one has its share, and not twice in a batch"


def test_failing_lane_is_tried_with_one_row_until_it_recovers(pool: Pool) -> None:
    announce(pool, *(new_key(dead=True) for _ in range(30)))
    now = [0.0]
    lanes, broker = Lanes(monotonic=lambda: now[0]), Broker(seconds=0.05)
    for attempts in (10, 0, 1, 1):
        before = len(broker.attempts)
        if attempts:
            with pytest.raises(NotEnoughReplicasError):
                relay.relay_batch(pool, broker, limit=40, lanes=lanes)
        else:
            assert relay.relay_batch(pool, broker, limit=40, lanes=lanes) == 0
        assert len(broker.attempts) - before == attempts
        now[0] += 0.5 if attempts == 10 else 2.0
    broker.mended = True
    assert [relay.relay_batch(pool, broker, limit=40, lanes=lanes) for _ in range(4)] == [1, 10, 10, 9]


def test_silent_partition_does_not_delay_events_of_the_others(pool: Pool) -> None:
    announce(pool, *(new_key(dead=True) for _ in range(20)))
    life, broker = Lifecycle(), Broker(seconds=1.0)
    loop = threading.Thread(target=relay.run, args=(pool, lambda: broker, life))
    loop.start()
    waits = []
    try:
        wait_until(lambda: broker.attempts, limit=10, what="the dead partition is tried")
        for _ in range(8):
            key, begun = new_key(), time.monotonic()
            announce(pool, key)
            wait_until(lambda key=key: str(key) in broker.sent, limit=10, what="it is sent", every=0.01)  # type: ignore[misc]
            waits.append(time.monotonic() - begun)
            time.sleep(0.2)
        broker.mended = True
        wait_until(lambda: not unsent(pool), limit=15, what="the partition's rows are sent once it works again")
    finally:
        life.end()
        loop.join(15)
    assert sorted(waits)[-2] < 0.9, "less than the dead partition's time-out"


@pytest.mark.parametrize(
    "error", [KafkaTimeoutError("no metadata"), UnknownTopicOrPartitionError(), TopicAuthorizationFailedError()]
)
def test_unwritable_topic_delays_no_other_and_blocks_no_row(
    database: Callable[[str], Database], error: KafkaError
) -> None:
    with db.open_pool(database("issuance").url, name="test") as pool:
        keys = [RenewalId(uuid.uuid4()) for _ in range(4)]
        with transaction(pool) as tx:
            for key in keys:
                sealed = PINEnvelopeSealed(
                    renewal_id=key,
                    item_id=ItemId(uuid.uuid4()),
                    envelope_id=uuid.uuid4(),
                    server_name="a.example.hk",
                    sealed="eA==",
                )
                outbox.add(tx, sealed)
        other = RenewalId(uuid.uuid4())
        announce(pool, other)
        broker, lanes = Broker(mended=True, topics={Topic.PIN_ENVELOPES.value: error}), Lanes(monotonic=lambda: 0.0)
        assert relay.relay_batch(pool, broker, lanes=lanes) == 1
        assert broker.sent == [str(other)]
        assert len(broker.attempts) == 2, "each further one would wait as long"
        broker.topics.clear()
        assert relay.relay_batch(pool, broker) == 4
        assert unsent(pool) == []


@pytest.mark.parametrize(
    "error",
    [
        InvalidRecordError(),
        ValueError("cannot be serialized"),
        TypeError("no bytes"),
        UnicodeEncodeError("x", "", 0, 1, ""),
    ],
)
def test_unsendable_row_blocks_only_its_key(pool: Pool, database_: Database, error: Exception) -> None:
    bad, good = new_key(), [new_key() for _ in range(3)]
    announce(pool, good[0], bad, good[1], bad, good[2])
    broker = Broker(keys={str(bad): error})
    assert relay.relay_batch(pool, broker) == 3
    assert unsent(pool) == [str(bad)]
    with psycopg.connect(database_.superuser_url) as conn:
        rows = conn.execute("SELECT unsendable_reason FROM outbox WHERE key = %s ORDER BY id", (str(bad),)).fetchall()
    assert rows == [(type(error).__name__,), (None,)]
    assert relay.relay_batch(pool, broker) == 0
