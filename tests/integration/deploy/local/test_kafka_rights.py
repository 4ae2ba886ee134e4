"""Rights on topics, tried by every principal on the real broker."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from kafka.structs import OffsetAndMetadata

from deploy.kafka import topics
from deploy.local import kafka as kafka_acls
from shared.events.base import Topic
from tests.support.engines import Kafka

WRITERS: Final = {
    Topic.IDENTITY: {"identity"},
    Topic.EVIDENCE: {"identity"},
    Topic.REGISTER: {"identity"},
    Topic.APPLICATION: {"application"},
    Topic.PAYMENT: {"payment"},
    Topic.MAILING: {"mailing"},
    Topic.ISSUANCE: {"issuance"},
    Topic.PIN_ENVELOPES: {"issuance"},
}
READERS: Final = {
    Topic.IDENTITY: {"desk"},
    Topic.EVIDENCE: set(),
    Topic.REGISTER: {"application", "mailing"},
    Topic.APPLICATION: {"payment", "mailing", "issuance", "desk"},
    Topic.PAYMENT: {"application", "desk"},
    Topic.MAILING: {"application", "desk"},
    Topic.ISSUANCE: {"application", "mailing", "desk", "backoffice", "archive"},
    Topic.PIN_ENVELOPES: {"mailing"},
}
SERVICES: Final = ("identity", "application", "payment", "mailing", "issuance", "desk")
# Of the back office: they read the feed, and nothing of theirs is a service's.
OUTSIDERS: Final = ("backoffice", "archive")
PRINCIPALS: Final = (*SERVICES, *OUTSIDERS)
# Any name that somebody might try: their own, with and without the dot, each other's, a service's.
GROUPS: Final = ("backoffice.desk", "archive.desk", "backoffice", "archive", "backofficex.desk", *SERVICES)
REFUSED: Final = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
# A record for a partition that is waited for: any principal would find it there if it could read.
RECORD: Final = b"a record"


def can_write(kafka: Kafka, principal: str, topic: Topic) -> bool:
    """Return whether a record of this principal is acknowledged."""
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
        except KafkaError as error:
            # Who may write no topic at all gets no producer's number either.
            if "ClusterAuthorizationFailedError" in str(error):
                return False
            raise
    return True


def can_read(kafka: Kafka, principal: str, topic: Topic) -> bool:
    """Return whether this principal gets the topic's first record."""
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
    """Return whether this principal may keep offsets as this group."""
    settings = kafka.settings(principal) | {"group_id": group}
    readable = next(topic for topic, readers in READERS.items() if principal in readers)
    with contextlib.closing(KafkaConsumer(**settings)) as consumer:
        try:
            consumer.commit({TopicPartition(readable.value, 0): OffsetAndMetadata(0, "", -1)}, timeout_ms=5000)
        except GroupAuthorizationFailedError:
            return False
    return True


def can_see(kafka: Kafka, principal: str, group: str) -> bool:
    """Return whether this principal may ask how far this group is."""
    with admin(kafka, principal) as client:
        try:
            client.list_group_offsets([group])
        except GroupAuthorizationFailedError:
            return False
    return True


def test_every_principal_is_tested() -> None:
    assert {*topics.PRINCIPALS} == {*PRINCIPALS}


@pytest.mark.parametrize("topic", list(Topic))
def test_topic_has_exactly_one_writer(kafka: Kafka, topic: Topic) -> None:
    assert {who for who in PRINCIPALS if can_write(kafka, who, topic)} == WRITERS[topic]


@pytest.mark.parametrize("topic", list(Topic))
def test_topic_is_readable_by_its_subscribers_only(kafka: Kafka, topic: Topic) -> None:
    for writer in WRITERS[topic]:
        assert can_write(kafka, writer, topic)
    assert {who for who in PRINCIPALS if can_read(kafka, who, topic)} == READERS[topic]


@pytest.mark.parametrize("principal", ["application", "payment", "mailing", "issuance", "desk"])
def test_service_joins_only_groups_of_its_own_name(kafka: Kafka, principal: str) -> None:
    assert {group for group in SERVICES if can_join(kafka, principal, group)} == {principal}
    assert can_join(kafka, principal, f"{principal}.{uuid.uuid4()}")


@pytest.mark.parametrize("principal", OUTSIDERS)
def test_outside_reader_joins_only_groups_with_its_prefix(kafka: Kafka, principal: str) -> None:
    assert {group for group in GROUPS if can_join(kafka, principal, group)} == {f"{principal}.desk"}


def test_feed_writer_can_read_the_offsets_of_its_readers_only(kafka: Kafka) -> None:
    for reader in OUTSIDERS:
        assert {who for who in PRINCIPALS if can_see(kafka, who, f"{reader}.desk")} == {reader, "issuance"}
        assert not can_join(kafka, "issuance", f"{reader}.desk")


@contextlib.contextmanager
def admin(kafka: Kafka, principal: str) -> Iterator[KafkaAdminClient]:
    """Yield what this principal may administer, if anything."""
    with contextlib.closing(KafkaAdminClient(**kafka.settings(principal))) as client:
        yield client


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_principal_may_only_read_or_write_a_topic(kafka: Kafka, principal: str) -> None:
    """The broker's own word on each cell of the table."""
    with admin(kafka, principal) as client:
        told = {each["name"]: each["authorized_operations"] or [] for each in client.describe_topics([*Topic])}
        cluster = client.describe_cluster()["authorized_operations"]
    expected = {
        topic.value: {
            *(("READ",) if principal in READERS[topic] else ()),
            *(("WRITE",) if principal in WRITERS[topic] else ()),
            *(("DESCRIBE",) if principal in READERS[topic] | WRITERS[topic] else ()),
        }
        for topic in Topic
    }
    assert {topic: {*operations} for topic, operations in told.items()} == expected
    assert cluster == []


@pytest.mark.parametrize("principal", OUTSIDERS)
def test_other_operations_of_an_outside_reader_are_refused(kafka: Kafka, principal: str) -> None:
    mine, other = Topic.ISSUANCE.value, Topic.PAYMENT.value
    grant = kafka_acls._allow(principal, ACLOperation.WRITE, Topic.ISSUANCE)
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    every = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
    with admin(kafka, principal) as client:
        attempts: dict[str, Callable[[], object]] = {
            "empty it": lambda: client.delete_records({TopicPartition(mine, 0): 0}),
            "delete it": lambda: client.delete_topics([mine]),
            "delete another": lambda: client.delete_topics([other]),
            "split it": lambda: client.create_partitions({mine: 13}),
            "make one": lambda: client.create_topics({"mine": {"num_partitions": 1, "replication_factor": 1}}),
            "see the rights": lambda: client.describe_acls(every),
            "end a service's group": lambda: client.delete_groups(["application"]),
            "end another's group": lambda: client.delete_groups([f"{OUTSIDERS[principal == OUTSIDERS[0]]}.desk"]),
        }
        for name, attempt in attempts.items():
            with pytest.raises(REFUSED):
                attempt()
                pytest.fail(name)
        assert [each[-1] for each in client.delete_acls([every])] == [ClusterAuthorizationFailedError]
        assert client.create_acls([grant])["failed"] == [ClusterAuthorizationFailedError]
        assert all(each["group_id"].startswith(f"{principal}.") for each in client.list_groups())
        assert client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, mine)]) == {"topic": {mine: {}}}
        password = UserScramCredentialUpsertion("issuance", ScramMechanism.SCRAM_SHA_512, "mine")
        assert client.alter_user_scram_credentials([password])["issuance"] is not None
    assert can_write(kafka, "issuance", Topic.ISSUANCE), "its password is the old one"


def test_wrong_password_is_refused(kafka: Kafka) -> None:
    settings = kafka.settings("payment") | {"sasl_plain_password": "wrong"}
    with pytest.raises(KafkaError):
        KafkaProducer(**settings, bootstrap_timeout_ms=3000)


def test_topic_is_not_created_on_use(kafka: Kafka) -> None:
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
