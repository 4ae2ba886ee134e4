"""Offsets after the database: a batch that is not committed there is read again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from kafka import TopicPartition
from kafka.errors import RebalanceInProgressError

from shared.db import Pool
from shared.lifecycle import Lifecycle
from shared.messaging.applier import Applier
from shared.messaging.consumer import Consumer
from shared.messaging.record import Record
from tests.integration.shared.conftest import Handler, Writer


@dataclass
class FakeKafka:
    """A consumer's client that notes what the database held at each commit of offsets."""

    look: Callable[[], list[str]]
    partition: TopicPartition
    seen: list[list[str]] = field(default_factory=list)
    session_seconds: float = 10.0
    refusals: int = 0

    def assignment(self) -> set[TopicPartition]:
        return {self.partition}

    def commit(self, offsets: Mapping[TopicPartition, Any], timeout_ms: int) -> None:
        assert set(offsets) <= {self.partition}
        if self.refusals:
            self.refusals -= 1
            raise RebalanceInProgressError
        self.seen.append(self.look())

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        return {}

    def out_of_group(self) -> bool:
        return False

    def generation(self) -> int:
        return 1

    def pause(self, *partitions: TopicPartition) -> None: ...

    def resume(self, *partitions: TopicPartition) -> None: ...


@dataclass(frozen=True)
class Message:
    """A record in the shape of kafka-python."""

    record: Record

    def __getattr__(self, name: str) -> Any:
        return 0 if name == "timestamp" else getattr(self.record, name)


@pytest.fixture
def kafka(pool: Pool, writer: Writer, applied: Callable[[Writer], list[str]]) -> FakeKafka:
    record = writer.record(1)
    return FakeKafka(lambda: applied(writer), TopicPartition(record.topic, record.partition))


def test_offsets_are_committed_after_the_transaction(
    pool: Pool, apply: Applier, writer: Writer, kafka: FakeKafka
) -> None:
    consumer = Consumer(kafka, pool, apply, Lifecycle())
    consumer.turn({kafka.partition: [Message(writer.record(1)), Message(writer.record(2))]})
    assert kafka.seen == [["1", "2"]]


def test_offsets_of_a_rolled_back_batch_are_not_committed(
    pool: Pool, apply: Applier, writer: Writer, kafka: FakeKafka, handler: Handler
) -> None:
    life = Lifecycle()
    handler.failures["1"] = psycopg.errors.DeadlockDetected()
    life.end()
    Consumer(kafka, pool, apply, life).turn({kafka.partition: [Message(writer.record(1))]})
    assert kafka.seen == []


def test_offsets_refused_in_a_rebalance_are_committed_later(
    pool: Pool, apply: Applier, writer: Writer, kafka: FakeKafka
) -> None:
    kafka.refusals = 2
    consumer = Consumer(kafka, pool, apply, Lifecycle())
    consumer.turn({kafka.partition: [Message(writer.record(1))]})
    for _ in range(3):
        consumer.turn({})
    assert kafka.seen == [["1"]]
