"""One writer (payment) and one reader (application), with the real relay and consumer between them."""

import contextlib
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.partitioner import murmur2

from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from shared.db import Pool
from shared.errors import Unavailable
from shared.events.base import Topic
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import kafka_clients, outbox, relay
from shared.messaging.consumer import Consumer
from shared.messaging.group_membership import GroupConsumer
from shared.messaging.subscriptions import on
from shared.runtime.service import applier
from shared.settings import KafkaSettings
from shared.tx import Tx, transaction
from shared.vocabulary import RenewalId
from tests.support.engines import Kafka, wait_until

TOPIC: Final = Topic.PAYMENT
READER: Final = "application"
Records = Mapping[str, list[int]]
Handler = Callable[[Tx, PaymentDeclined], None]


@contextlib.contextmanager
def with_acl(
    kafka: Kafka, service: str, topic: Topic, operation: ACLOperation, kind: ACLPermissionType
) -> Iterator[None]:
    """Add a right of a service's user to the broker, and remove it at the end."""
    right = ACL(f"User:{service}", "*", operation, kind, ResourcePattern(ResourceType.TOPIC, topic.value))
    with contextlib.closing(KafkaAdminClient(**kafka.settings(local_kafka.ADMIN))) as admin:
        admin.create_acls([right])
        try:
            yield
        finally:
            admin.delete_acls([right])


def new_keys(count: int) -> list[RenewalId]:
    """Return renewals that nobody knows yet."""
    return [RenewalId(uuid.uuid4()) for _ in range(count)]


def new_neighbours() -> list[RenewalId]:
    """Return two such renewals of one partition, in key order: a consumer gets their events in one batch."""
    while True:
        first, second = sorted(new_keys(2))
        if len({murmur2(str(key).encode()) % 2**31 % PARTITIONS for key in (first, second)}) == 1:
            return [first, second]


def new_group() -> str:
    """Return a consumer group of the reader's that nobody is in."""
    return f"{READER}.{uuid.uuid4()}"


def announce(pool: Pool, keys: Sequence[RenewalId], *, each: int = 1, reason: str = "declined") -> None:
    """Announce `each` events of every key, ten keys to a transaction."""
    for _ in range(each):
        for start in range(0, len(keys), 10):
            with transaction(pool) as tx:
                for key in sorted(keys[start : start + 10]):
                    outbox.add(tx, PaymentDeclined(renewal_id=key, payment_id=tx.new_id(), reason=reason))


def note(tx: Tx, event: PaymentDeclined) -> None:
    """Record the applied event, as the reader's handler; "unavailable" stands for an unavailable dependency."""
    tx.conn.execute(
        "INSERT INTO audit_log (time, actor, action, subject, details) VALUES (%s, 'reader', %s, %s, '{}')",
        (tx.now, event.reason, str(event.renewal_id)),
    )
    if event.reason == "unavailable":
        raise Unavailable("as the test wants it")


def settings(kafka: Kafka, principal: str) -> KafkaSettings:
    """Return how a service's process would log in, with the shortest session that the broker allows."""
    return KafkaSettings(
        bootstrap_servers=kafka.address,
        security_protocol="SASL_PLAINTEXT",
        username=principal,
        password=kafka.passwords[principal],
        ca_file=None,
        certificate_file=None,
        key_file=None,
        session_timeout_ms=6_000,
    )


@contextlib.contextmanager
def running(body: Callable[[Lifecycle], None]) -> Iterator[Lifecycle]:
    """Run a loop in a thread; after the block it is stopped, and what it raised is raised here."""
    life = Lifecycle()
    raised: list[Exception] = []

    def run() -> None:
        try:
            body(life)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield life
    finally:
        life.end()
        thread.join(30)
    if raised:
        raise raised[0]
    assert not thread.is_alive(), "the loop did not end"


def running_relay(kafka: Kafka, pool: Pool) -> contextlib.AbstractContextManager[Lifecycle]:
    """Return payment's relay."""
    return running(
        lambda life: relay.run(pool, lambda: kafka_clients.make_producer(settings(kafka, "payment"), "test"), life)
    )


def running_consumer(
    kafka: Kafka, pool: Pool, group: str, handler: Handler = note
) -> contextlib.AbstractContextManager[Lifecycle]:
    """Return application's consumer."""
    make = partial(kafka_clients.make_consumer, settings(kafka, READER), "test", group=group, topics=[TOPIC])
    return running(lambda life: reader_loop(make(), pool, life, handler).run())


def reader_loop(client: Any, pool: Pool, life: Lifecycle, handler: Handler = note) -> Consumer:
    """Return the real loop round a Kafka client."""
    return Consumer(client, pool, applier(READER, (on(PaymentDeclined, handler),)), life)


def impatient_client(kafka: Kafka, group: str) -> Any:
    """Return a Kafka client that is out of its group when it has not polled for a second and a half."""
    client = GroupConsumer(
        **kafka.settings(READER),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=1_500,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=300,
    )
    client.subscribe([TOPIC])
    # One that joins before it knows the topic's partitions is given none. Asked in public it would fetch all topics'.
    wait_until(lambda: client._cluster.partitions_for_topic(TOPIC), limit=20, what="the topic's partitions")
    return client


def applied(pool: Pool) -> dict[str, int]:
    """Return how often the reader's handler was carried out, by renewal."""
    with pool.connection() as conn:
        rows = conn.execute("SELECT subject, count(*) FROM audit_log WHERE actor = 'reader' GROUP BY 1").fetchall()
    return dict(rows)


def inbox_is_at(pool: Pool, keys: Sequence[RenewalId], sequence: int) -> bool:
    """Return whether the reader has seen everything of these renewals up to this number."""
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT count(*) FROM inbox WHERE key = ANY(%s) AND last_sequence >= %s", ([*map(str, keys)], sequence)
        ).fetchone()
    return row == (len(keys),)


def wait_for_inbox(pool: Pool, keys: Sequence[RenewalId], sequence: int, *, limit: float = 40) -> None:
    """Wait until the reader has seen it all."""
    wait_until(lambda: inbox_is_at(pool, keys, sequence), limit=limit, what=f"{len(keys)} keys at {sequence}")


def unsent(pool: Pool) -> int:
    """Return how many of the writer's events are not marked as sent."""
    with pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM outbox WHERE sent_at IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def held_event(pool: Pool) -> int:
    """Return how many events the reader holds."""
    with pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM parked_events").fetchone()
    assert row is not None
    return int(row[0])


def in_kafka(kafka: Kafka) -> Records:
    """Return the sequence numbers in the topic as they lie there, by renewal."""
    partitions = [TopicPartition(TOPIC.value, number) for number in range(PARTITIONS)]
    found: dict[str, list[int]] = defaultdict(list)
    with contextlib.closing(KafkaConsumer(**kafka.settings(READER), group_id=None)) as reader:
        reader.assign(partitions)
        reader.seek_to_beginning(*partitions)
        ends = reader.end_offsets(partitions)
        while any(reader.position(partition) < end for partition, end in ends.items()):
            for records in reader.poll(timeout_ms=200).values():
                for record in records:
                    found[record.key.decode()].append(int(dict(record.headers)["ce_sequence"]))
    return found


@dataclass(frozen=True)
class Group:
    """A consumer group as the broker sees it."""

    state: str
    members: frozenset[str]


def describe_group(kafka: Kafka, group: str) -> Group:
    """Ask the broker who is in the group."""
    with contextlib.closing(KafkaAdminClient(**kafka.settings(local_kafka.ADMIN))) as admin:
        described: Any = admin.describe_groups([group])[group]
    return Group(state=described["group_state"], members=frozenset(m["member_id"] for m in described["members"]))
