"""The outbox and the relay's batch on a real PostgreSQL, with a Kafka that fails as configured."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from shared import db
from shared.db import Pool
from shared.errors import Undecodable
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import outbox, relay
from shared.messaging.outbox import EventTooLarge, StoredEvent
from shared.tx import Tx, transaction
from shared.vocabulary import RenewalId
from tests.support.engines import Database, wait_until

KEY = RenewalId(uuid.UUID(int=1))
OTHER = RenewalId(uuid.UUID(int=2))


@pytest.fixture
def pool(database: Callable[[str], Database]) -> Iterator[Pool]:
    with db.open_pool(database("payment").url, name="test") as opened:
        yield opened


def add(tx: Tx, key: RenewalId = KEY, reason: str = "x") -> None:
    outbox.add(tx, PaymentDeclined(renewal_id=key, payment_id=uuid.uuid4(), reason=reason))


def announce(pool: Pool, *keys: RenewalId) -> None:
    for key in keys:
        with transaction(pool) as tx:
            add(tx, key)


def stored(pool: Pool, key: RenewalId = KEY) -> list[StoredEvent]:
    with pool.connection() as conn:
        return outbox.stored(conn, str(key))


def sent(pool: Pool, key: RenewalId = KEY) -> list[bool]:
    return [event.sent_at is not None for event in stored(pool, key)]


@dataclass
class Future:
    error: Exception | None
    is_done: bool = False

    def get(self, timeout: float) -> None:
        self.is_done = True
        if self.error is not None:
            raise self.error


@dataclass
class FakeKafka:
    """A producer whose n-th record (from 0) is refused: as it is sent, or instead of its acknowledgement."""

    refused_at_once: dict[int, Exception] = field(default_factory=dict)
    refused_later: dict[int, Exception] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    closed: bool = False
    close_error: Exception | None = None

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        self.keys.append(key)
        number = len(self.keys) - 1
        if (error := self.refused_at_once.get(number)) is not None:
            raise error
        return Future(self.refused_later.get(number))

    def close(self, timeout: float) -> None:
        self.closed = True
        if self.close_error is not None:
            raise self.close_error


def test_rolled_back_change_announces_nothing_and_leaves_no_hole(pool: Pool) -> None:
    announce(pool, KEY)
    with pytest.raises(ZeroDivisionError), transaction(pool) as tx:
        add(tx)
        raise ZeroDivisionError
    announce(pool, KEY)
    assert [event.sequence for event in stored(pool)] == [1, 2]


def test_concurrent_writers_of_one_key_count_without_a_hole(pool: Pool) -> None:
    threads = [threading.Thread(target=announce, args=(pool, *[KEY] * 15)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [event.sequence for event in stored(pool)] == list(range(1, 61))


def test_event_too_large_for_kafka_rolls_the_change_back(pool: Pool) -> None:
    with pytest.raises(EventTooLarge), transaction(pool) as tx:
        add(tx, reason="x" * 900_000)
    assert stored(pool) == []


def test_event_that_its_schema_refuses_rolls_the_change_back(pool: Pool) -> None:
    with pytest.raises(Undecodable), transaction(pool) as tx:
        outbox.add(tx, PaymentDeclined(renewal_id=KEY, payment_id="1", reason="x"))  # type: ignore[arg-type]
    assert stored(pool) == []


def test_duplicate_sequence_number_fails_in_the_writer(pool: Pool) -> None:
    announce(pool, KEY)
    with pytest.raises(psycopg.errors.UniqueViolation), transaction(pool) as tx:
        tx.conn.execute("UPDATE outbox_sequences SET last_sequence = 0")
        add(tx)


def test_rows_after_the_first_failure_of_a_key_are_not_marked(pool: Pool) -> None:
    announce(pool, KEY, KEY, KEY, OTHER)
    assert relay.relay_batch(pool, FakeKafka(refused_later={1: KafkaTimeoutError()})) == 2
    assert (sent(pool), sent(pool, OTHER)) == ([True, False, False], [True])
    assert relay.relay_batch(pool, FakeKafka()) == 2
    assert sent(pool) == [True, True, True]


def test_only_the_first_row_is_tried_while_kafka_refuses_all(pool: Pool) -> None:
    announce(pool, KEY, OTHER, KEY)
    away = FakeKafka(refused_at_once={0: KafkaConnectionError()})
    with pytest.raises(KafkaConnectionError):
        relay.relay_batch(pool, away)
    assert len(away.keys) == 1, "each further one would wait for Kafka as long as the first"
    assert (sent(pool), sent(pool, OTHER)) == ([False, False], [False])


@pytest.mark.parametrize(
    "kafka",
    [
        FakeKafka(refused_at_once={1: MessageSizeTooLargeError()}),
        FakeKafka(refused_later={1: MessageSizeTooLargeError()}),
    ],
)
def test_row_too_large_for_kafka_blocks_only_its_key(pool: Pool, kafka: FakeKafka) -> None:
    announce(pool, KEY, KEY, OTHER, KEY)
    assert relay.relay_batch(pool, kafka) == 2
    assert (sent(pool), sent(pool, OTHER)) == ([True, False, False], [True])
    announce(pool, KEY, OTHER)
    assert relay.relay_batch(pool, FakeKafka()) == 1
    assert (sent(pool), sent(pool, OTHER)) == ([True, False, False, False], [True, True])


def test_second_relay_waits_for_the_lock(pool: Pool) -> None:
    announce(pool, KEY)
    inside, go_on = threading.Event(), threading.Event()

    class Slow(FakeKafka):
        def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
            inside.set()
            assert go_on.wait(10)
            return super().send(topic, key=key, value=value, headers=headers)

    first = threading.Thread(target=relay.relay_batch, args=(pool, Slow()))
    first.start()
    assert inside.wait(10)
    second = FakeKafka()
    assert relay.relay_batch(pool, second) == 0
    go_on.set()
    first.join(10)
    assert (second.keys, sent(pool)) == ([], [True])


def test_producer_that_failed_twice_is_replaced_even_if_it_cannot_be_closed(pool: Pool) -> None:
    announce(pool, KEY)
    broken = FakeKafka(
        refused_later={0: KafkaError("lost its state"), 1: KafkaError("lost its state")},
        close_error=KafkaTimeoutError(),
    )
    good = FakeKafka()
    made: list[FakeKafka | KafkaError] = [broken, KafkaTimeoutError("no broker"), good]
    life = Lifecycle()

    def make() -> FakeKafka:
        next_one = made.pop(0)
        if isinstance(next_one, FakeKafka):
            return next_one
        raise next_one

    loop = threading.Thread(target=relay.run, args=(pool, make, life))
    loop.start()
    try:
        wait_until(lambda: sent(pool) == [True], limit=15, what="it is sent by the new one")
    finally:
        life.end()
        loop.join(10)
    assert (broken.closed, good.closed, made) == (True, True, [])
