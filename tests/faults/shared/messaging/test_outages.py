"""Kafka, the database or another dependency goes away in the middle and comes back."""

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from deploy.local import kafka as local_kafka
from deploy.local import postgres as local_postgres
from shared import db
from shared.db import Pool
from shared.errors import Unavailable
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.tx import Tx
from tests.faults.shared.kit import (
    announce,
    applied,
    describe_group,
    held_event,
    impatient_client,
    new_group,
    new_keys,
    note,
    reader_loop,
    running,
    running_consumer,
    running_relay,
    unsent,
    wait_for_inbox,
)
from tests.support.engines import Kafka, Postgres, running_kafka, running_postgres, wait_until


@pytest.fixture
def own_kafka() -> Iterator[Kafka]:
    """A broker that this test may kill."""
    with running_kafka() as kafka:
        yield kafka


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A cluster that this test may kill."""
    with running_postgres() as postgres:
        yield postgres


def kill(what: str, number: signal.Signals) -> None:
    """Kill the one child of ours whose command line says this."""
    [child] = [child for child in psutil.Process().children() if any(what in part for part in child.cmdline())]
    child.send_signal(number)
    child.wait(20)


def noticed(logs: list[Any]) -> bool:
    """Return whether the relay has logged that the database is unavailable."""
    return any(each["event"] == "relay.database_failed" for each in logs)


def poll(client: Any, count: int) -> dict[Any, list[Any]]:
    """Return so many records as one batch."""
    taken: dict[Any, list[Any]] = {}

    def enough() -> bool:
        for partition, records in client.poll(timeout_ms=100).items():
            taken.setdefault(partition, []).extend(records)
        return sum(map(len, taken.values())) == count

    wait_until(enough, limit=20, what=f"{count} records", every=0)
    return taken


class Steered:
    """A handler that fails for so many calls, or until it is repaired."""

    def __init__(self, error: Exception, *, failures: int = 1_000_000) -> None:
        self.error: Exception | None = error
        self.failures = failures
        self.calls = 0

    def __call__(self, tx: Tx, event: PaymentDeclined) -> None:
        self.calls += 1
        if self.error is not None and self.calls <= self.failures:
            raise self.error
        note(tx, event)


def test_relay_and_consumer_resume_after_the_broker_was_killed(own_kafka: Kafka, writer: Pool, reader: Pool) -> None:
    keys = new_keys(20)
    announce(writer, keys)
    with (
        contextlib.ExitStack() as again,
        running_relay(own_kafka, writer),
        running_consumer(own_kafka, reader, new_group()),
    ):
        wait_for_inbox(reader, keys, 1)
        kill(str(own_kafka.broker.folder), signal.SIGKILL)
        announce(writer, keys)
        again.enter_context(local_kafka.running(own_kafka.broker))
        announce(writer, keys)
        wait_for_inbox(reader, keys, 3, limit=60)
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is marked")
    assert applied(reader) == dict.fromkeys(map(str, keys), 3)
    assert held_event(reader) == 0


def test_relay_and_consumer_resume_after_the_database_was_killed(topic: Kafka, own_postgres: Postgres) -> None:
    keys, group = new_keys(20), new_group()
    with contextlib.ExitStack() as again, contextlib.ExitStack() as stack:
        databases = [stack.enter_context(own_postgres.database(name)) for name in ("payment", "application")]
        writer, reader = (stack.enter_context(db.open_pool(database.url, name="test")) for database in databases)
        announce(writer, keys)
        stack.enter_context(running_relay(topic, writer))
        stack.enter_context(running_consumer(topic, reader, group))
        wait_for_inbox(reader, keys, 1)
        members = describe_group(topic, group).members
        with capture_logs() as logs:
            kill(str(own_postgres.cluster.data), signal.SIGQUIT)
            wait_until(lambda: noticed(logs), limit=20, what="the relay has noticed")
        again.enter_context(local_postgres.running(own_postgres.cluster))
        announce(writer, keys, each=2)
        wait_for_inbox(reader, keys, 3, limit=60)
        assert applied(reader) == dict.fromkeys(map(str, keys), 3)
        assert held_event(reader) == 0
        assert describe_group(topic, group).members == members, "it stayed in the group"


def test_consumer_that_waits_for_a_dependency_stays_in_its_group_and_holds_nothing(
    topic: Kafka, writer: Pool, reader: Pool
) -> None:
    keys, group = new_keys(20), new_group()
    handler = Steered(Unavailable("down"))
    with (
        running_relay(topic, writer),
        running(lambda life: reader_loop(impatient_client(topic, group), reader, life, handler).run()),
    ):
        announce(writer, keys)
        wait_until(lambda: handler.calls > 0, limit=20, what="the first try")
        members = describe_group(topic, group).members
        # Rounds of seven tries (the batch, then six keys alone) with longer and longer pauses: twice the time after
        # which a client that does not poll is out.
        begun = time.monotonic()
        wait_until(lambda: handler.calls >= 7 * 5, limit=60, what="it has tried again and again")
        assert time.monotonic() - begun > 2
        assert describe_group(topic, group).members == members
        announce(writer, keys)
        assert held_event(reader) == 0
        handler.error = None
        wait_for_inbox(reader, keys, 2)
        assert describe_group(topic, group).members == members
    assert applied(reader) == dict.fromkeys(map(str, keys), 2)


def test_fault_of_many_keys_at_once_holds_no_key(topic: Kafka, writer: Pool, reader: Pool) -> None:
    keys = new_keys(30)
    announce(writer, keys)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is in Kafka")
    # Three tries of each of the six keys after which it is not the events' fault any more; and all of that twice.
    handler = Steered(RuntimeError("our own"), failures=2 * 3 * 6)
    with contextlib.closing(impatient_client(topic, new_group())) as client:
        taken = poll(client, 30)
        reader_loop(client, reader, Lifecycle(), handler).turn(taken)
    assert held_event(reader) == 0
    assert handler.calls == 36 + 30
    assert applied(reader) == dict.fromkeys(map(str, keys), 1)


def test_late_write_of_a_consumer_that_lost_its_partitions_changes_nothing(
    topic: Kafka, writer: Pool, reader: Pool
) -> None:
    keys, group = new_keys(10), new_group()
    announce(writer, keys, each=2)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is in Kafka")
    with contextlib.closing(impatient_client(topic, group)) as client:
        taken = poll(client, 20)
        wait_until(lambda: not describe_group(topic, group).members, limit=20, what="it is out of the group")
        with running_consumer(topic, reader, group):
            wait_for_inbox(reader, keys, 2)
        reader_loop(client, reader, Lifecycle()).turn(taken)
    assert applied(reader) == dict.fromkeys(map(str, keys), 2)
    assert held_event(reader) == 0
