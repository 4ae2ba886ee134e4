"""An event that fails alone for a passing reason waits; the other keys go on; it is tried again by itself."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from kafka import TopicPartition
from psycopg_pool import PoolTimeout

from shared.db import Pool
from shared.errors import Refused, Unavailable
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import held_events, waiting_events
from shared.messaging.applier import Applier
from shared.messaging.consumer import MAX_FETCHED, Consumer
from shared.messaging.record import Record
from shared.messaging.subscriptions import on
from shared.operators import held_commands
from shared.runtime.service import applier
from tests.integration.shared.conftest import NOW, Handler, Writer
from tests.integration.shared.messaging.test_inbox import Applied, held_event, held_reason, place

SLOW = psycopg.errors.QueryCanceled("canceling statement due to statement timeout")


@dataclass
class Client:
    """A Kafka client that hands out these batches, one a poll, keeps what is committed, and ends when idle for long."""

    batches: list[list[Record]] = field(default_factory=list)
    stop: Lifecycle = field(default_factory=Lifecycle)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    paused: int = 0
    idle: int = 0
    session_seconds: float = 10.0

    def poll(self, timeout_ms: float) -> Mapping[TopicPartition, Sequence[Any]]:
        if self.batches and not self.paused:
            return self.polled(self.batches.pop(0))
        time.sleep(0.05)
        self.idle += 1
        if self.idle == 10:
            self.stop.end()
        return {}

    def polled(self, records: Sequence[Record]) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = {}
        for record in records:
            message = SimpleNamespace(**vars(record), timestamp=NOW.timestamp() * 1000)
            found.setdefault(TopicPartition(record.topic, record.partition), []).append(message)
        return found

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("payment.events", number) for number in range(12)}

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused += 1

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused = 0

    def commit(self, offsets: Mapping[TopicPartition, Any], timeout_ms: int) -> None:
        self.committed |= {partition: at.offset for partition, at in offsets.items()}

    def out_of_group(self) -> bool:
        return False

    def generation(self) -> int:
        return 1


@dataclass
class Time:
    """A clock that the test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def timed(handler: Handler, clock: Time) -> Applier:
    return applier("application", (on(PaymentDeclined, handler),), clock=clock)


@pytest.fixture
def client() -> Client:
    return Client()


Take = Callable[..., bool]


@pytest.fixture
def take(pool: Pool, timed: Applier, client: Client) -> Iterator[Take]:
    """Give the loop one batch; True if its offsets were committed, False if it waits with all fetched events."""
    loop = Consumer(client, pool, timed, client.stop)

    def run(*records: Record) -> bool:
        client.committed.clear()
        loop.turn(client.polled(records))
        return bool(client.committed)

    yield run
    client.stop.end()


@pytest.mark.parametrize("error", [SLOW, psycopg.errors.DeadlockDetected("x"), Unavailable("down")])
def test_failing_event_waits_with_later_ones_and_other_keys_continue(
    pool: Pool, take: Take, applied: Applied, handler: Handler, writer: Writer, error: Exception
) -> None:
    other = Writer()
    handler.failures["2"] = error
    assert take(*map(writer.record, [1, 2, 3]), other.record(1))
    assert (applied(writer), applied(other)) == (["1"], ["1"])
    assert [(p.sequence, p.reason) for p in held_commands.list_held(pool, "application")] == [
        (2, "waiting"),
        (3, "gap"),
    ]
    assert held_reason(pool, writer) == held_events.WAITING
    assert take(writer.record(4), other.record(3), other.record(4))
    assert held_event(pool, writer) == [2, 3, 4]


def test_waiting_event_is_retried_with_backoff(
    pool: Pool, take: Take, timed: Applier, handler: Handler, clock: Time, writer: Writer
) -> None:
    handler.failures["1"] = SLOW
    take(writer.record(1), Writer().record(2))
    calls, pauses = handler.calls, []
    for _ in range(9):
        seconds = next(n for n in itertools.count(1) if _tried(pool, timed, clock, 1))
        pauses.append(seconds)
    assert pauses == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert handler.calls == calls + 9


def _tried(pool: Pool, timed: Applier, clock: Time, seconds: float) -> bool:
    clock.later(seconds)
    return waiting_events.redrive_due(pool, timed)


def test_waiting_event_that_succeeds_is_applied_with_later_ones_in_order(
    pool: Pool, take: Take, timed: Applier, applied: Applied, handler: Handler, clock: Time, writer: Writer
) -> None:
    handler.failures["1"] = SLOW
    take(*map(writer.record, [1, 2, 3]), Writer().record(2))
    clock.later(1)
    handler.failures.clear()
    assert waiting_events.redrive_due(pool, timed)
    assert applied(writer) == ["1", "2", "3"]
    assert (held_reason(pool, writer), held_event(pool, writer)) == (None, [])
    assert not waiting_events.redrive_due(pool, timed)


def test_later_event_that_fails_rolls_nothing_back_and_waits(
    pool: Pool, take: Take, timed: Applier, applied: Applied, handler: Handler, clock: Time, writer: Writer
) -> None:
    handler.failures["1"] = handler.failures["3"] = SLOW
    take(*map(writer.record, [1, 2, 3, 4]), Writer().record(2))
    clock.later(1)
    del handler.failures["1"]
    waiting_events.redrive_due(pool, timed)
    assert applied(writer) == ["1", "2"]
    assert [
        (p.sequence, p.reason) for p in held_commands.list_held(pool, "application") if p.place == place(writer)
    ] == [
        (3, "waiting"),
        (4, "gap"),
    ]


def test_later_event_is_due_even_after_a_restart(
    pool: Pool,
    take: Take,
    timed: Applier,
    applied: Applied,
    handler: Handler,
    clock: Time,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler.failures["1"] = SLOW
    take(*map(writer.record, [1, 2, 3]), Writer().record(2))
    clock.later(1)
    handler.failures.clear()
    monkeypatch.setattr(waiting_events, "AT_ONCE", 1)
    for expected in (["1"], ["1", "2"], ["1", "2", "3"]):
        assert waiting_events.redrive_due(pool, timed)
        assert applied(writer) == expected
    assert held_event(pool, writer) == []


def test_waiting_event_that_is_refused_is_held_for_an_operator(
    pool: Pool, take: Take, timed: Applier, handler: Handler, clock: Time, writer: Writer
) -> None:
    handler.failures["1"] = SLOW
    take(writer.record(1), Writer().record(2))
    handler.failures["1"] = Refused("never")
    clock.later(1)
    assert waiting_events.redrive_due(pool, timed)
    assert held_reason(pool, writer) == "refused"
    clock.later(3600)
    assert not waiting_events.redrive_due(pool, timed)


def test_waiting_event_can_be_redriven_sooner(
    pool: Pool, take: Take, timed: Applier, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = SLOW
    take(*map(writer.record, [1, 2]), Writer().record(2))
    handler.failures.clear()
    assert held_commands.redrive(pool, timed, place(writer), actor="officer") == 2
    assert applied(writer) == ["1", "2"]


@pytest.mark.parametrize("error", [SLOW, Unavailable("down"), PoolTimeout("no connection")])
def test_failure_of_every_event_holds_nothing(
    pool: Pool, take: Take, client: Client, handler: Handler, error: Exception
) -> None:
    handler.failures["1"] = error
    assert not take(*[Writer().record(1) for _ in range(4)])
    assert (held_commands.list_held(pool, "application"), client.committed) == ([], {})


def test_failure_of_many_keys_holds_nothing_even_if_others_succeed(pool: Pool, take: Take, handler: Handler) -> None:
    handler.failures["1"] = SLOW
    writers = sorted((Writer() for _ in range(7)), key=lambda each: each.key)
    assert not take(writers[0].record(2), *[each.record(1) for each in writers[1:]])
    assert [p.reason for p in held_commands.list_held(pool, "application")] == ["gap"]


def test_single_failing_event_is_compared_with_further_events(
    pool: Pool, take: Take, client: Client, applied: Applied, handler: Handler, writer: Writer
) -> None:
    other = Writer()
    handler.failures["1"] = SLOW
    client.batches = [[], [other.record(2)], []]
    assert take(writer.record(1))
    assert held_reason(pool, writer) == held_events.WAITING
    assert len(client.committed) == len({writer.record(1).partition, other.record(1).partition})


def test_number_of_fetched_events_is_limited(take: Take, client: Client, handler: Handler) -> None:
    handler.failures["1"] = Unavailable("down")
    client.batches = [[Writer().record(1) for _ in range(50)] for _ in range(20)]
    assert not take(Writer().record(1))
    assert handler.calls < 2 * MAX_FETCHED
    assert len(client.batches) == 18
