"""Deadlines under several workers, and against events that come in the same moment."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from services.application import store, work
from services.application.domain import Renewal as Was
from services.application.work import pass_deadline
from shared.db import Pool
from shared.events.application import CheckoutClosureRequested, CSRRequested
from shared.lifecycle import Lifecycle
from shared.runtime.task_loop import run_tasks
from shared.tx import Tx, transaction
from tests.integration.services.application.world import Renewal, World
from tests.support.builders import subscription_row

COUNT = 12


@pytest.fixture
def renewals(pool: Pool, tmp_path: Path) -> tuple[World, list[Renewal]]:
    world = World(pool=pool)
    srns = [f"{number:010d}" for number in range(COUNT)]
    world.enrol([subscription_row(srn) for srn in srns], tmp_path)
    return world, [world.submitted(srn) for srn in srns]


def in_parallel(*bodies: Callable[[], None]) -> list[BaseException]:
    failures: list[BaseException] = []
    start = threading.Barrier(len(bodies))

    def run(body: Callable[[], None]) -> None:
        start.wait(10)
        try:
            body()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failures


def fire_all(world: World) -> None:
    while work.fire_next_timer(world.pool, clock=lambda: world.now):
        pass


def test_several_workers_fire_each_timer_once(renewals: tuple[World, list[Renewal]]) -> None:
    world, submitted = renewals
    world.now += timedelta(days=14)
    assert in_parallel(*[lambda: fire_all(world)] * 4) == []
    for renewal in submitted:
        assert world.state(renewal) == "expiring"
        assert len(world.announced(renewal.id, CheckoutClosureRequested)) == 1


def test_timers_and_events_of_the_same_renewals_never_deadlock(renewals: tuple[World, list[Renewal]]) -> None:
    world, submitted = renewals
    world.now += timedelta(days=14)
    records = [world.publisher.record(world.captured(renewal)) for renewal in submitted]

    def capture_all() -> None:
        world.apply_records(*records)

    assert in_parallel(capture_all, lambda: fire_all(world), lambda: fire_all(world)) == []
    for renewal in submitted:
        assert world.state(renewal) == "awaiting-csrs"
        assert len(world.announced(renewal.id, CSRRequested)) == 1
        assert len(world.announced(renewal.id, CheckoutClosureRequested)) <= 1
    assert world.rows("SELECT DISTINCT state FROM timers") == [("awaiting-csrs",)]


def test_timer_that_was_moved_while_it_was_claimed_does_not_fire(world: World) -> None:
    renewal = world.submitted()
    due = world.now + timedelta(days=14)
    with transaction(world.pool, clock=lambda: due) as tx:
        assert store.claim_due_timer(tx.conn, due) == renewal.id
        claimed = store.lock_renewal(tx.conn, renewal.id)
        assert claimed is not None
        store.set_timer(tx.conn, claimed.id, claimed.state, due + timedelta(days=1))
        assert not store.consume_timer(tx.conn, claimed, due)
    assert world.state(renewal) == "awaiting-payment"


def test_locked_renewal_does_not_delay_the_other_timers(
    renewals: tuple[World, list[Renewal]],
) -> None:
    world, submitted = renewals
    world.now += timedelta(days=14)
    with transaction(world.pool) as tx:
        assert store.lock_renewal(tx.conn, submitted[0].id)
        fire_all(world)
    assert [world.state(renewal) for renewal in submitted] == ["awaiting-payment"] + ["expiring"] * (COUNT - 1)


def test_failing_deadlines_delay_no_other_and_are_retried(
    renewals: tuple[World, list[Renewal]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, submitted = renewals
    failing = {renewal.id for renewal in submitted[:6]}
    life, tried = Lifecycle(), 0

    def fails(tx: Tx, was: Was) -> None:
        nonlocal tried
        if was.id in failing:
            tried += 1
            raise RuntimeError("a fault of ours in one row")
        pass_deadline(tx, was)

    def turn() -> bool:
        if work.fire_next_timer(world.pool, clock=lambda: world.now):
            return True
        life.end()
        return False

    monkeypatch.setattr(work, "pass_deadline", fails)
    world.now += timedelta(days=14)
    begun = time.monotonic()
    run_tasks([("fire-timer", turn)], life)
    assert time.monotonic() - begun < 3
    assert [world.state(renewal) for renewal in submitted] == ["awaiting-payment"] * 6 + ["expiring"] * 6
    assert tried == 6
    monkeypatch.undo()
    world.pass_time(timedelta(seconds=11))
    assert {world.state(renewal) for renewal in submitted} == {"expiring"}
