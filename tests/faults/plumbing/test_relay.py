"""The relay on a real Kafka: order, completeness, and what blocks what."""

import threading

import psycopg

from shared.db import Pool
from tests.engines import Database, Kafka, wait_until
from tests.faults.plumbing.kit import (
    announce,
    applied,
    in_kafka,
    inbox_is_at,
    new_group,
    new_keys,
    parked,
    running_consumer,
    running_relay,
    unsent,
    wait_for_inbox,
)


def test_everything_is_sent_in_order_and_marked(topic: Kafka, writer: Pool) -> None:
    keys = new_keys(30)
    announce(writer, keys, each=5)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
    assert in_kafka(topic) == {str(key): [1, 2, 3, 4, 5] for key in keys}


def test_two_relays_at_once_lose_and_reverse_nothing(topic: Kafka, writer: Pool, reader: Pool) -> None:
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
    assert parked(reader) == 0


def test_a_row_that_can_never_be_sent_blocks_its_key_and_no_other(
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
    assert in_kafka(topic)[str(poisoned)] == [1, 3], "sent with the batch in which the second one failed"
    assert applied(reader)[str(poisoned)] == 1, "what overtook it waits for it"
    with writer.connection() as conn:
        rows = conn.execute(
            "SELECT sequence, sent_at IS NULL, unsendable_reason FROM outbox WHERE key = %s ORDER BY id",
            (str(poisoned),),
        ).fetchall()
    assert rows == [(1, False, None), (2, True, "MessageSizeTooLargeError"), (3, True, None), (4, True, None)]
    assert not inbox_is_at(reader, [poisoned], 2)
