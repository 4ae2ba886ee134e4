"""A writer packs what unpacks to far more: neither the broker nor a reader falls over it, and what follows is read."""

import contextlib
import uuid

import psutil
import pytest
from kafka import KafkaProducer

from shared.db import Pool
from tests.faults.shared.kit import TOPIC, announce, held_event, new_keys, running_relay, unsent, wait_for_inbox
from tests.faults.shared.started import environment, seconds_to_end, started
from tests.support.engines import Database, Kafka, running_kafka, wait_until

BOMB = bytes(150 << 20)
MEMORY = 120 << 20  # bytes that a reader may take beside what it takes anyway


def blow(kafka: Kafka, packing: str) -> None:
    """Send 150 MB of zeros, packed into less than a megabyte, under a key of its own."""
    with contextlib.closing(
        KafkaProducer(**kafka.settings("payment"), compression_type=packing, max_request_size=1 << 30, acks="all")
    ) as producer:
        producer.send(TOPIC.value, key=str(uuid.uuid4()).encode(), value=BOMB).get(30)


@pytest.mark.parametrize("packing", ["lz4", "gzip", "zstd"])
def test_decompression_bomb_is_held_and_later_events_are_applied(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool, packing: str
) -> None:
    keys = new_keys(20)
    with started("reader", "consume", env=environment(topic, reader_database)) as process, running_relay(topic, writer):
        announce(writer, keys)
        wait_for_inbox(reader, keys, 1)
        before = psutil.Process(process.pid).memory_info().rss
        blow(topic, packing)
        announce(writer, keys)
        wait_for_inbox(reader, keys, 2)
        wait_until(lambda: held_event(reader) == 1, limit=20, what="the bomb is held")
        assert psutil.Process(process.pid).memory_info().rss - before < MEMORY
        assert seconds_to_end(process) < 8
    with reader.connection() as conn:
        row = conn.execute("SELECT sequence, reason, error FROM parked_events").fetchone()
        assert conn.execute("SELECT count(*) FROM inbox WHERE held_since IS NOT NULL").fetchone() == (0,)
    assert row is not None
    assert row[:2] == (None, "no-sequence")
    assert row[2].startswith("too large: the batch at offsets")


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_broker_does_not_decompress_a_bomb(packing: str, writer: Pool) -> None:
    with running_kafka() as kafka:
        for _ in range(3):
            blow(kafka, packing)
        keys = new_keys(3)
        announce(writer, keys)
        with running_relay(kafka, writer):
            wait_until(lambda: unsent(writer) == 0, limit=20, what="the broker still takes events")
