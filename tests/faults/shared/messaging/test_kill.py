"""kill -9 at each point where two commits follow one another."""

import signal

from shared.db import Pool
from tests.faults.shared.kit import (
    announce,
    applied,
    held_event,
    in_kafka,
    new_group,
    new_keys,
    running_consumer,
    running_relay,
    unsent,
    wait_for_inbox,
)
from tests.faults.shared.started import environment, started
from tests.support.engines import Database, Kafka, wait_until


def test_relay_killed_before_marking_resends_the_batch_and_the_reader_applies_it_once(
    topic: Kafka, writer_database: Database, writer: Pool, reader: Pool
) -> None:
    keys = new_keys(6)
    announce(writer, keys, each=3)
    with started("writer", "relay-and-die", env=environment(topic, writer_database)) as relay:
        assert relay.wait(30) == -signal.SIGKILL
    assert unsent(writer) == 18
    assert in_kafka(topic) == {str(key): [1, 2, 3] for key in keys}
    with running_relay(topic, writer), running_consumer(topic, reader, new_group()):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
        announce(writer, keys)
        wait_for_inbox(reader, keys, 4)
    assert in_kafka(topic) == {str(key): [1, 2, 3, 1, 2, 3, 4] for key in keys}
    assert applied(reader) == dict.fromkeys(map(str, keys), 4)
    assert held_event(reader) == 0


def test_consumer_killed_before_the_offset_commit_skips_the_redelivered_batch(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool
) -> None:
    keys, group = new_keys(6), new_group()
    announce(writer, keys, each=3)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
        env = environment(topic, reader_database) | {"KILLED_GROUP": group}
        with started("reader", "consume-and-die", env=env) as consumer:
            assert consumer.wait(30) == -signal.SIGKILL
        before = applied(reader)
        assert sum(before.values()) > 0, "the batch was in the database when it died"
        announce(writer, keys)
        with running_consumer(topic, reader, group):
            wait_for_inbox(reader, keys, 4)
    assert applied(reader) == dict.fromkeys(map(str, keys), 4)
    assert held_event(reader) == 0
