"""Who may write and read which topic, tried by every principal on the real broker."""

import contextlib
import uuid
from typing import Final

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from shared.events.base import Topic
from tests.engines import Kafka

WRITERS: Final = {
    Topic.IDENTITY: {"identity"},
    Topic.APPLICATION: {"application"},
    Topic.PAYMENT: {"payment"},
    Topic.MAILING: {"mailing"},
    Topic.ISSUANCE: {"issuance"},
    Topic.PIN_ENVELOPES: {"issuance"},
}
READERS: Final = {
    Topic.IDENTITY: set[str](),
    Topic.APPLICATION: {"payment", "mailing", "issuance"},
    Topic.PAYMENT: {"application"},
    Topic.MAILING: {"application"},
    Topic.ISSUANCE: {"application"},
    Topic.PIN_ENVELOPES: {"mailing"},
}
SERVICES: Final = ("identity", "application", "payment", "mailing", "issuance")
# A record for a partition that is waited for: any principal would find it there if it could read.
RECORD: Final = b"a record"


def can_write(kafka: Kafka, principal: str, topic: Topic) -> bool:
    """Whether a record of this principal is acknowledged."""
    settings = kafka.settings(principal) | {
        "max_block_ms": 5000,
        "delivery_timeout_ms": 6000,
        "request_timeout_ms": 5000,
    }
    with contextlib.closing(KafkaProducer(**settings)) as producer:
        try:
            producer.send(topic.value, RECORD, partition=0).get(timeout=6)
        except TopicAuthorizationFailedError:
            return False
    return True


def can_read(kafka: Kafka, principal: str, topic: Topic) -> bool:
    """Whether this principal gets the topic's first record."""
    # By assignment, and only a topic that it sees: for one that it may not see the client waits without a word.
    settings = kafka.settings(principal) | {"group_id": None, "auto_offset_reset": "earliest"}
    with contextlib.closing(KafkaConsumer(**settings)) as consumer:
        if topic.value not in consumer.topics():
            return False
        consumer.assign([TopicPartition(topic.value, 0)])
        try:
            for _ in range(50):
                if consumer.poll(timeout_ms=200):
                    return True
        except TopicAuthorizationFailedError:
            return False
    raise AssertionError(f"{principal} got neither a record nor a refusal from {topic}")


def can_join(kafka: Kafka, principal: str, group: str) -> bool:
    """Whether this principal may keep offsets as a member of this group."""
    settings = kafka.settings(principal) | {"group_id": group}
    with contextlib.closing(KafkaConsumer(**settings)) as consumer:
        try:
            consumer.committed(TopicPartition(Topic.APPLICATION.value, 0), timeout_ms=5000)
        except GroupAuthorizationFailedError:
            return False
    return True


@pytest.mark.parametrize("topic", list(Topic))
def test_a_topic_has_exactly_its_one_writer(kafka: Kafka, topic: Topic) -> None:
    assert {service for service in SERVICES if can_write(kafka, service, topic)} == WRITERS[topic]


@pytest.mark.parametrize("topic", list(Topic))
def test_a_topic_is_read_by_its_subscribers_alone(kafka: Kafka, topic: Topic) -> None:
    for writer in WRITERS[topic]:
        assert can_write(kafka, writer, topic)
    assert {service for service in SERVICES if can_read(kafka, service, topic)} == READERS[topic]


@pytest.mark.parametrize("principal", ["application", "payment", "mailing", "issuance"])
def test_a_service_joins_groups_of_its_own_name_alone(kafka: Kafka, principal: str) -> None:
    assert {group for group in SERVICES if can_join(kafka, principal, group)} == {principal}
    assert can_join(kafka, principal, f"{principal}.{uuid.uuid4()}")


def test_a_wrong_password_is_refused(kafka: Kafka) -> None:
    settings = kafka.settings("payment") | {"sasl_plain_password": "wrong"}
    with pytest.raises(KafkaError):
        KafkaProducer(**settings, bootstrap_timeout_ms=3000)


def test_a_topic_is_not_made_by_naming_it(kafka: Kafka) -> None:
    settings = kafka.settings("payment") | {"max_block_ms": 1000}
    with (
        contextlib.closing(KafkaProducer(**settings)) as producer,
        pytest.raises(KafkaError),
    ):
        producer.send("payment.eventz", RECORD).get(timeout=3)


def test_every_topic_has_twelve_partitions_and_can_be_emptied(kafka: Kafka) -> None:
    assert can_write(kafka, "payment", Topic.PAYMENT)
    kafka.empty()
    with contextlib.closing(KafkaConsumer(**kafka.settings("application"))) as consumer:
        assert consumer.partitions_for_topic(Topic.PAYMENT.value) == set(range(12))
        first = TopicPartition(Topic.PAYMENT.value, 0)
        assert consumer.beginning_offsets([first]) == consumer.end_offsets([first])
