"""Lag of the feed's readers, as its writer reads it from the real broker."""

import contextlib
import dataclasses

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from prometheus_client import REGISTRY

from deploy.kafka.topics import PARTITIONS
from shared.events.base import Topic
from shared.lifecycle import Lifecycle
from shared.messaging import feed_lag, group_lag, kafka_clients
from shared.settings import KafkaSettings
from tests.support.engines import Kafka, wait_until

FEED = Topic.ISSUANCE


@pytest.fixture
def feed(kafka: Kafka) -> Kafka:
    """The broker with ten records in each of two partitions."""
    kafka.empty()
    with contextlib.closing(KafkaAdminClient(**kafka.settings("kafka_admin"))) as admin:
        admin.delete_groups([each["group_id"] for each in admin.list_groups()])  # of other tests
    with contextlib.closing(KafkaProducer(**kafka.settings("issuance"))) as producer:
        for future in [producer.send(FEED.value, b"x", partition=n % 2) for n in range(20)]:
            future.get(10)
    return kafka


def commit(kafka: Kafka, principal: str, group: str, partition: int, ahead: int) -> None:
    """Commit offsets as if the group had read so many records of a partition."""
    with contextlib.closing(KafkaConsumer(**kafka.settings(principal), group_id=group)) as consumer:
        place = TopicPartition(FEED.value, partition)
        at = consumer.beginning_offsets([place])[place] + ahead
        consumer.commit({place: OffsetAndMetadata(at, "", -1)})


def settings(kafka: Kafka, address: str) -> KafkaSettings:
    """Return the settings of issuance's relay."""
    return KafkaSettings(
        bootstrap_servers=address,
        security_protocol="SASL_PLAINTEXT",
        username="issuance",
        password=kafka.passwords["issuance"],
        ca_file=None,
        certificate_file=None,
        key_file=None,
        session_timeout_ms=6000,
    )


def figures() -> dict[tuple[str, str], float]:
    """Return what the gauge says, by reader and group."""
    return {
        (sample.labels["reader"], sample.labels["group"]): sample.value
        for metric in REGISTRY.collect()
        if metric.name == "feed_reader_lag_records"
        for sample in metric.samples
    }


def test_lag_of_each_group_is_exported(feed: Kafka) -> None:
    commit(feed, "backoffice", "backoffice.ledger", 0, 4)
    commit(feed, "backoffice", "backoffice.ledger", 1, 10)
    commit(feed, "archive", "archive.copy", 0, 0)
    with contextlib.closing(kafka_clients.make_admin(settings(feed, feed.address), "lag")) as admin:
        feed_lag.look(admin, FEED)
        assert figures() == {("backoffice", "backoffice.ledger"): 6, ("archive", "archive.copy"): 20}
        commit(feed, "archive", "archive.copy", 0, 10)
        commit(feed, "archive", "archive.copy", 1, 10)
        feed_lag.look(admin, FEED)
        assert figures()["archive", "archive.copy"] == 0
        with contextlib.closing(KafkaAdminClient(**feed.settings("kafka_admin"))) as ours:
            ours.delete_groups(["archive.copy"])
        feed_lag.look(admin, FEED)
        assert {*figures()} == {("backoffice", "backoffice.ledger")}


def test_group_of_no_reader_is_not_exported(feed: Kafka) -> None:
    commit(feed, "application", "application", 0, 1)
    with contextlib.closing(KafkaAdminClient(**feed.settings("kafka_admin"))) as admin:
        feed_lag.look(admin, FEED)
    assert figures() == {}


def test_lag_export_resumes_after_a_kafka_outage(feed: Kafka) -> None:
    commit(feed, "backoffice", "backoffice.ledger", 0, 4)
    addresses = ["127.0.0.1:1", feed.address]

    def make() -> KafkaAdminClient:
        return kafka_clients.make_admin(settings(feed, addresses.pop(0)), "lag")

    life = Lifecycle()
    feed_lag.LAG.clear()
    feed_lag.start(make, FEED, life)
    try:
        # The first look fails; the next comes when the watch has slept.
        wait_until(lambda: not addresses, limit=30, what="it tries again")
        wait_until(lambda: figures() == {("backoffice", "backoffice.ledger"): 16}, limit=10, what="it looks")
    finally:
        life.end()


def test_lag_of_a_services_own_group_is_read_with_its_own_rights(feed: Kafka) -> None:
    """The records of partitions that it never read count from the partition's beginning."""
    commit(feed, "application", "application", 0, 4)
    own = dataclasses.replace(
        settings(feed, feed.address), username="application", password=feed.passwords["application"]
    )
    with contextlib.closing(kafka_clients.make_admin(own, "unread")) as admin:
        progress = kafka_clients.progress(admin, "application", [FEED.value])
    left = {partition.partition: end - committed for partition, (committed, end) in progress.items()}
    assert left == {0: 6, 1: 10} | dict.fromkeys(range(2, PARTITIONS), 0)


def test_lag_export_of_a_services_group_is_logged(feed: Kafka) -> None:
    own = dataclasses.replace(
        settings(feed, feed.address), username="application", password=feed.passwords["application"]
    )
    life = Lifecycle()
    group_lag.start(lambda: kafka_clients.make_admin(own, "unread"), "application", [FEED.value], life)
    try:
        wait_until(
            lambda: REGISTRY.get_sample_value("consumer_group_lag_records") == 20, limit=15, what="it has looked"
        )
    finally:
        life.end()
