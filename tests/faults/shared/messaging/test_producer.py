"""A producer whose Kafka is away: it can be let go of."""

import threading

import pytest
from kafka.errors import KafkaTimeoutError

from shared.events.base import Topic
from shared.messaging import kafka_clients
from tests.faults.shared import kit
from tests.support.engines import Kafka, wait_until


def test_producer_closed_with_unsent_records_leaves_no_thread(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    producer = kafka_clients.make_producer(kit.settings(kafka, "payment"), "left")
    assert set(threading.enumerate()) - before

    def away(timeout: float | None = None) -> None:
        raise KafkaTimeoutError(f"not within {timeout} s")

    monkeypatch.setattr(producer, "flush", away)
    producer.send(Topic.PAYMENT.value, b"unsent")
    with pytest.raises(KafkaTimeoutError):
        producer.close(timeout=1)
    wait_until(lambda: not set(threading.enumerate()) - before, limit=10, what="no thread is left")
    producer.close(timeout=1)
