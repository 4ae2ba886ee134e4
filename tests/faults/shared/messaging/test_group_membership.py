"""A consumer stays a member of its group, or becomes one again, on a real broker."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import MemberState, OffsetAndMetadata

from deploy.kafka.topics import PARTITIONS
from shared.db import Pool
from shared.errors import Unavailable
from shared.messaging import kafka_clients
from shared.messaging.group_membership import GroupConsumer
from tests.faults.shared.kit import (
    READER,
    TOPIC,
    announce,
    applied,
    describe_group,
    new_group,
    new_keys,
    reader_loop,
    running,
    running_consumer,
    running_relay,
    settings,
    wait_for_inbox,
)
from tests.faults.shared.messaging.test_outages import Steered
from tests.support.engines import Kafka, wait_until


class Forgetful(GroupConsumer):
    """A client that leaves a finished join lying, as kafka-python does."""

    def poll(self, *args: Any, **kwargs: Any) -> Any:
        return KafkaConsumer.poll(self, *args, **kwargs)


def join_that_nobody_awaits(client: Any) -> None:
    """Change the leader's metadata: the join begins, the poll ends first, and the reason to join goes meanwhile."""
    group = client._coordinator
    while group._join_task is None:
        group._assignment_snapshot = {}
        KafkaConsumer.poll(client, timeout_ms=0)
    wait_until(lambda: group._join_task is not None and group._join_task.is_done, limit=10, what="the join has ended")
    assert group.state is MemberState.REBALANCING
    assert not group.need_rejoin()


@pytest.fixture
def make(topic: Kafka) -> Iterator[Callable[..., Any]]:
    """A member that has its partitions."""
    with contextlib.ExitStack() as clients:

        def made(kind: type[GroupConsumer], group: str) -> Any:
            client = kind(
                **topic.settings(READER),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=6_000,
                heartbeat_interval_ms=500,
            )
            clients.enter_context(contextlib.closing(client))
            client._cluster.set_topics([TOPIC])
            wait_until(lambda: client._cluster.partitions_for_topic(TOPIC), limit=20, what="the topic's partitions")
            client.subscribe([TOPIC])
            wait_until(lambda: client.poll(timeout_ms=250) or client.assignment(), limit=20, what="it is a member")
            return client

        yield made


def may_commit(client: Any) -> bool:
    try:
        client.commit({each: OffsetAndMetadata(0, "", -1) for each in client.assignment()}, timeout_ms=2_000)
    except KafkaError:
        return False
    return bool(client.assignment())


def test_abandoned_join_is_completed_by_the_next_poll(make: Callable[..., Any]) -> None:
    client = make(GroupConsumer, new_group())
    join_that_nobody_awaits(client)
    begun, processor = time.monotonic(), time.process_time()
    while client._coordinator.state is not MemberState.STABLE:
        assert time.monotonic() - begun < 10
        client.poll(timeout_ms=250)
    assert may_commit(client)
    assert time.process_time() - processor < max(1.0, 0.5 * (time.monotonic() - begun))


def is_committed_to_the_end(other: Any) -> bool:
    """Return tell whether the group of this client has committed the end of every partition that holds something."""
    ends = other.end_offsets([TopicPartition(TOPIC.value, number) for number in range(PARTITIONS)])
    return all(other.committed(each) == at for each, at in ends.items() if at)


@pytest.mark.nightly
def test_consumer_outside_its_group_rejoins(topic: Kafka, make: Callable[..., Any], writer: Pool, reader: Pool) -> None:
    """Within a session time-out of six seconds, whatever made the client forget its join; and the offsets are kept."""
    keys, group = new_keys(10), new_group()
    client = make(Forgetful, group)
    join_that_nobody_awaits(client)
    announce(writer, keys)
    with running_relay(topic, writer), running(lambda life: reader_loop(client, reader, life).run()):
        wait_for_inbox(reader, keys, 1)
        wait_until(lambda: not client.out_of_group(), limit=25, what="it is a member again")
        announce(writer, keys)
        wait_for_inbox(reader, keys, 2)
        # A commit that a rebalance refuses is made with the batch that comes again.
        with contextlib.closing(KafkaConsumer(**topic.settings(READER), group_id=group)) as other:
            wait_until(lambda: is_committed_to_the_end(other), limit=25, what="every offset is committed")
    assert len(describe_group(topic, group).members) == 0, "it left as it ended"
    assert applied(reader) == dict.fromkeys(map(str, keys), 2)


def test_second_consumer_joins_while_the_first_waits_for_a_dependency(topic: Kafka, writer: Pool, reader: Pool) -> None:
    keys, group = new_keys(30), new_group()
    handler = Steered(Unavailable("down"))
    announce(writer, keys)
    with running_relay(topic, writer), running_consumer(topic, reader, group, handler):
        wait_until(lambda: handler.calls > 0, limit=20, what="the first try")
        make = partial(kafka_clients.make_consumer, settings(topic, READER), "second", group=group, topics=[TOPIC])
        second: list[Any] = []

        def joined() -> bool:
            return bool(second and second[0].assignment()) and describe_group(topic, group).state == "Stable"

        def run(life: Any) -> None:
            second.append(make())
            reader_loop(second[0], reader, life, handler).run()

        with running(run):
            begun = time.monotonic()
            wait_until(joined, limit=30, what="the second has partitions")
            assert time.monotonic() - begun < 15
            assert second[0].generation() < 12, "a few rounds, not one after the other"
            handler.error = None
            wait_for_inbox(reader, keys, 1)
