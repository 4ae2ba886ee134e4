"""Kafka clients: kafka-python with corrected defaults, in one place."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec, OffsetTimestamp
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    NoError,
    NonEmptyGroupError,
    UnknownMemberIdError,
)

from shared.errors import Refused, Unavailable
from shared.lifecycle import StopSignal
from shared.messaging import decompression
from shared.messaging.group_membership import GroupConsumer
from shared.settings import KafkaSettings

log = structlog.get_logger()

MAX_POLL_RECORDS: Final = 50
BOOTSTRAP_MS: Final = 5_000
# More than the relay writes at once. A batch is decompressed as a whole, within limits of its own.
MAX_FETCH_BYTES: Final = 8 * 1024 * 1024


class KafkaUnavailable(Unavailable):
    """Kafka did not answer in time, or broke off."""

    reason = "kafka-unavailable"


class KafkaNotPermitted(Refused):
    """Kafka's ACLs do not permit what the command does."""

    reason = "kafka-not-permitted"


class GroupHasMembers(Refused):
    """The offsets of a consumer group cannot be reset while it has members."""

    reason = "group-has-members"


@contextlib.contextmanager
def as_refusals() -> Iterator[None]:
    """Turn the errors of Kafka into refusals of an operator command."""
    try:
        yield
    except (NonEmptyGroupError, UnknownMemberIdError) as error:
        raise GroupHasMembers("stop all consumers of the group first") from error
    except AuthorizationError as error:
        raise KafkaNotPermitted(str(error)) from error
    except KafkaError as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error


def _common(settings: KafkaSettings, client_id: str, *, bootstrap_timeout_ms: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        "bootstrap_timeout_ms": bootstrap_timeout_ms,
    }
    if settings.security_protocol.startswith("SASL"):
        config |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password,
        }
    if settings.security_protocol.endswith("SSL"):
        config |= {
            "ssl_cafile": settings.ca_file,
            "ssl_certfile": settings.certificate_file,
            "ssl_keyfile": settings.key_file,
        }
    return config


class _Producer(KafkaProducer):  # type: ignore[misc]  # it comes without types
    """Producer that ends its thread even if Kafka is unavailable; kafka-python's own fails before it signals the
    thread.
    """

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Close the producer. Raises KafkaTimeoutError if something is left unsent; a second call then does nothing."""
        try:
            super().close(timeout=timeout, null_logger=null_logger)
        except KafkaTimeoutError:
            self._closed = True
            self._sender.force_close()
            raise


def make_producer(settings: KafkaSettings, client_id: str) -> KafkaProducer:
    """Return an idempotent producer, which loses and reorders nothing; call it after the process has forked."""
    return _Producer(
        # Short: the relay retries without limit, and checks in between whether it must stop.
        **_common(settings, client_id, bootstrap_timeout_ms=5_000),
        enable_idempotence=True,
        acks="all",
        linger_ms=2,
        batch_size=131_072,
        compression_type="lz4",
        max_block_ms=5_000,
        request_timeout_ms=4_000,
        delivery_timeout_ms=6_000,
        allow_auto_create_topics=False,
    )


def make_consumer(
    settings: KafkaSettings, client_id: str, *, group: str, topics: list[str], stop: StopSignal | None = None
) -> GroupConsumer:
    """Return a consumer without automatic commits that starts at the beginning; call it after the process has forked.

    Waits half a minute for Kafka, then raises KafkaTimeoutError. Ends if the process is stopped meanwhile.
    """
    until = time.monotonic() + 30
    while True:
        try:
            consumer = _group_consumer(settings, client_id, group)
            break
        except KafkaTimeoutError:
            _end_if_asked(stop)
            if time.monotonic() > until:
                raise
    _wait_for_metadata(consumer, topics, stop)
    consumer.subscribe(topics)
    return consumer


def _end_if_asked(stop: StopSignal | None) -> None:
    """End the process if it is stopped.

    A signal just before a thread sleeps does not wake it, so this is called often.
    """
    if stop is not None and stop.is_set():
        raise SystemExit(0)


def _group_consumer(settings: KafkaSettings, client_id: str, group: str) -> GroupConsumer:
    decompression.install()
    return GroupConsumer(
        **_common(settings, client_id, bootstrap_timeout_ms=BOOTSTRAP_MS),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        max_poll_records=MAX_POLL_RECORDS,
        fetch_max_bytes=MAX_FETCH_BYTES,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(500, settings.session_timeout_ms // 10),
        max_poll_interval_ms=300_000,
        metadata_max_age_ms=30_000,
    )


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # it comes without types
    """Admin client that ends its thread if it finds no broker; kafka-python's own leaves it running."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except KafkaError:
            self._closed = False
            self.close()
            raise


def make_admin(settings: KafkaSettings, client_id: str) -> KafkaAdminClient:
    """Return a client for queries; the broker's ACLs decide what else it may do."""
    return _Admin(**_common(settings, client_id, bootstrap_timeout_ms=5_000), request_timeout_ms=10_000)


def keep_looking(
    make: Callable[[], KafkaAdminClient], look: Callable[[KafkaAdminClient], None], stop: StopSignal, *, every: float
) -> None:
    """Call `look` with an admin client every `every` seconds until stopped. Kafka may be unavailable at any time."""
    while not stop.is_set():
        try:
            with contextlib.closing(make()) as admin:
                while not stop.is_set():
                    look(admin)
                    stop.wait(every)
        except KafkaError as error:
            log.warning("kafka.query_failed", error=f"{type(error).__name__}: {error}")
            stop.wait(every)


def progress(admin: KafkaAdminClient, group: str, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
    """Return the committed offset (or the beginning) and the end of each partition of these topics."""
    partitions = [
        TopicPartition(topic["name"], each["partition_index"])
        for topic in admin.describe_topics([*topics])
        for each in topic["partitions"]
    ]
    begins, ends = (
        {partition: found.offset for partition, found in admin.list_partition_offsets(wanted).items()}
        for wanted in (dict.fromkeys(partitions, spec) for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
    )
    committed = admin.list_group_offsets([group])[group]
    read = {each: committed[each].offset if each in committed else 0 for each in partitions}
    return {each: (min(ends[each], max(begins[each], read[each])), ends[each]) for each in partitions}


def read_all(settings: KafkaSettings, client_id: str, topics: list[str]) -> Iterator[list[Any]]:
    """Yield every record of these topics up to their present end, in batches, without joining a group.

    Raises KafkaUnavailable or KafkaNotPermitted.
    """
    with as_refusals():
        yield from _read_all(settings, client_id, topics)


def _read_all(settings: KafkaSettings, client_id: str, topics: list[str]) -> Iterator[list[Any]]:
    decompression.install()
    consumer = KafkaConsumer(
        **_common(settings, client_id, bootstrap_timeout_ms=30_000),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        fetch_max_bytes=MAX_FETCH_BYTES,
    )
    try:
        _wait_for_metadata(consumer, topics, None)
        partitions = [TopicPartition(each, number) for each in topics for number in consumer.partitions_for_topic(each)]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            polled = consumer.poll(timeout_ms=1_000)
            yield [message for messages in polled.values() for message in messages]
    finally:
        consumer.close()


def reset_offsets(admin: KafkaAdminClient, *, group: str, topics: Sequence[str], to: datetime) -> int:
    """Reset a group's offsets to each partition's first record at `to` or later. Returns the number of partitions
    changed.

    Never moves an offset forward, so unread records stay unread. Raises KafkaError while the group has members.
    """
    partitions = [
        TopicPartition(topic["name"], each["partition_index"])
        for topic in admin.describe_topics([*topics])
        for each in topic["partitions"]
    ]
    committed = admin.list_group_offsets([group])[group]
    found = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetTimestamp(int(to.timestamp() * 1000))))
    back = {
        each: committed[each]._replace(offset=found[each].offset)
        for each in partitions
        if each in committed and 0 <= found[each].offset < committed[each].offset
    }
    if back:
        for error in admin.alter_group_offsets(group, back).values():
            if error is not NoError:
                raise error(f"not all offsets of {group} were reset")
    return len(back)


def _wait_for_metadata(consumer: KafkaConsumer, topics: list[str], stop: StopSignal | None) -> None:
    """Wait for the topics' metadata: a leader without it would assign no partitions.

    Raises KafkaTimeoutError after ten seconds.
    """
    until = time.monotonic() + 10
    while missing := [topic for topic in topics if not consumer.partitions_for_topic(topic)]:
        if time.monotonic() > until:
            consumer.close()
            raise KafkaTimeoutError(f"no metadata of {', '.join(missing)}")
        _end_if_asked(stop)
        time.sleep(0.2)
