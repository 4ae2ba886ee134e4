"""The relay on a real Kafka: order, completeness, and what blocks what."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable

import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ACLOperation, ACLPermissionType

from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from shared import db
from shared.db import Pool
from shared.events.base import Topic
from shared.events.issuance import IssuanceWithheld, PINEnvelopeSealed
from shared.messaging import kafka_clients, outbox, relay
from shared.messaging.feed import Feed
from shared.tx import transaction
from shared.vocabulary import ItemId, RenewalId
from tests.faults.shared.kit import (
    announce,
    applied,
    held_event,
    in_kafka,
    inbox_is_at,
    new_group,
    new_keys,
    running,
    running_consumer,
    running_relay,
    settings,
    unsent,
    wait_for_inbox,
    with_acl,
)
from tests.support.builders import signing_key
from tests.support.engines import Database, Kafka, wait_until


def test_rows_are_sent_in_order_and_marked(topic: Kafka, writer: Pool) -> None:
    keys = new_keys(30)
    announce(writer, keys, each=5)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
    assert in_kafka(topic) == {str(key): [1, 2, 3, 4, 5] for key in keys}


def test_two_relays_neither_lose_nor_reorder_rows(topic: Kafka, writer: Pool, reader: Pool) -> None:
    keys = new_keys(150)
    writers = [threading.Thread(target=announce, args=(writer, keys), kwargs={"each": 7}) for _ in range(3)]
    with (
        running_relay(topic, writer),
        running_relay(topic, writer),
        running_consumer(topic, reader, new_group()),
    ):
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        wait_for_inbox(reader, keys, 21)
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
    assert in_kafka(topic) == {str(key): list(range(1, 22)) for key in keys}
    assert applied(reader) == dict.fromkeys(map(str, keys), 21)
    assert held_event(reader) == 0


def test_unsendable_row_blocks_only_its_key(
    topic: Kafka, writer: Pool, reader: Pool, writer_database: Database
) -> None:
    keys = new_keys(12)
    poisoned, others = keys[0], keys[1:]
    announce(writer, keys, each=3)
    with psycopg.connect(writer_database.superuser_url) as conn:
        conn.execute(
            "UPDATE outbox SET data = convert_to(repeat('x', 2000000), 'UTF8') WHERE key = %s AND sequence = 2",
            (str(poisoned),),
        )
    with running_relay(topic, writer), running_consumer(topic, reader, new_group()):
        wait_for_inbox(reader, others, 3)
        announce(writer, keys)
        wait_for_inbox(reader, others, 4)
    assert in_kafka(topic)[str(poisoned)] in ([1], [1, 3]), "the third may have been sent with the second"
    assert applied(reader)[str(poisoned)] == 1, "what overtook it waits for it"
    with writer.connection() as conn:
        rows = conn.execute(
            "SELECT sequence, sent_at IS NULL, unsendable_reason FROM outbox WHERE key = %s ORDER BY id",
            (str(poisoned),),
        ).fetchall()
    assert rows == [(1, False, None), (2, True, "MessageSizeTooLargeError"), (3, True, None), (4, True, None)]
    assert not inbox_is_at(reader, [poisoned], 2)


def denied(kafka: Kafka, topic: Topic) -> contextlib.AbstractContextManager[None]:
    """Return the broker lets the topic's writer write nothing to it."""
    return with_acl(kafka, "issuance", topic, ACLOperation.WRITE, ACLPermissionType.DENY)


def seal(pool: Pool, count: int) -> None:
    """Announce so many sealed PINs, each of another renewal."""
    with transaction(pool) as tx:
        for _ in range(count):
            event = PINEnvelopeSealed(
                renewal_id=RenewalId(tx.new_id()),
                item_id=ItemId(tx.new_id()),
                envelope_id=tx.new_id(),
                server_name="a.example.hk",
                sealed="eA==",
            )
            outbox.add(tx, event)


def feed_end(kafka: Kafka) -> int:
    """Return how many records the feed's topic has."""
    partitions = [TopicPartition(Topic.ISSUANCE.value, number) for number in range(PARTITIONS)]
    with contextlib.closing(KafkaConsumer(**kafka.settings(local_kafka.ADMIN))) as reader:
        ends, beginnings = reader.end_offsets(partitions), reader.beginning_offsets(partitions)
    return int(sum(ends.values()) - sum(beginnings.values()))


def left(pool: Pool, topic: Topic) -> int:
    """Return how many of the topic's events are not marked as sent."""
    with pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM outbox WHERE topic = %s AND sent_at IS NULL", (topic,)).fetchone()
    assert row is not None
    return int(row[0])


def test_topic_denied_by_the_broker_delays_no_other_and_is_sent_once_allowed(
    kafka: Kafka, database: Callable[[str], Database]
) -> None:
    kafka.empty(Topic.ISSUANCE)
    feed = Feed(topic=Topic.ISSUANCE, key=signing_key("feed"))
    with db.open_pool(database("issuance").url, name="test") as pool, contextlib.ExitStack() as stack:
        fault = stack.enter_context(contextlib.ExitStack())
        fault.enter_context(denied(kafka, Topic.PIN_ENVELOPES))
        seal(pool, 1200)
        make = lambda: kafka_clients.make_producer(settings(kafka, "issuance"), "test")  # noqa: E731
        stack.enter_context(running(lambda life: relay.run(pool, make, life, feed=feed)))
        waits: list[float] = []
        for _ in range(8):
            with transaction(pool) as tx:
                outbox.add(tx, IssuanceWithheld(renewal_id=RenewalId(uuid.uuid4())))
            begun = time.monotonic()
            wait_until(lambda: feed_end(kafka) > len(waits), limit=30, what="it is in the topic", every=0.05)
            waits.append(time.monotonic() - begun)
            time.sleep(0.5)  # the events come one by one, over longer than a send's time-out
        assert left(pool, Topic.PIN_ENVELOPES) == 1200
        fault.close()
        wait_until(lambda: unsent(pool) == 0, limit=40, what="all is sent")
    assert sorted(waits)[-2] < 3, "less than the producer's six seconds"
