"""Money goes back once per refund, never more than was captured, and for as long as it takes."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest

from services.payment import handlers
from services.payment.outcomes import HELD
from services.payment.refusals import PaymentConflict, PaymentNotReady
from shared.events.payment import PaymentCaptured, PaymentExpired, PaymentRefunded
from shared.vocabulary import RenewalId
from tests.integration.services.payment.stopped_call import StoppedCall
from tests.integration.services.payment.world import AMOUNT, World, closure, refund_due


def refunds(world: World, renewal_id: RenewalId) -> list[tuple[Any, ...]]:
    return world.rows("SELECT state, amount_minor FROM refunds WHERE renewal_id = %s ORDER BY created_at", renewal_id)


def refunded(world: World, renewal_id: RenewalId) -> list[uuid.UUID]:
    return [event.refund_id for event in world.announced(renewal_id) if isinstance(event, PaymentRefunded)]


def test_refund_is_made_booked_and_announced_once(world: World) -> None:
    renewal_id = world.captured()
    event = refund_due(renewal_id, 100_000)
    world.handle(event)
    world.work()
    world.handle(event)
    world.work_later()
    assert refunds(world, renewal_id) == [("refunded", 100_000)]
    assert refunded(world, renewal_id) == [event.refund_id]
    assert len(world.sandbox.effects("refund", str(event.refund_id))) == 1
    assert world.rows("SELECT debit, credit, amount_minor FROM ledger WHERE refund_id IS NOT NULL") == [
        ("renewal-fees", "provider", 100_000)
    ]


def test_refund_whose_answer_was_lost_is_not_made_twice(world: World) -> None:
    renewal_id = world.captured()
    event = refund_due(renewal_id)
    world.handle(event)
    world.sandbox.order_fault("refund", "lost")
    world.work()
    assert refunded(world, renewal_id) == []
    world.work_later()
    assert refunded(world, renewal_id) == [event.refund_id]
    assert len(world.sandbox.effects("refund", str(event.refund_id))) == 1


def test_refund_is_retried_until_it_succeeds(world: World) -> None:
    renewal_id = world.captured()
    world.handle(refund_due(renewal_id))
    world.sandbox.order_fault("refund", "error", times=6)
    for _ in range(6):
        world.work_later(15)
        assert refunds(world, renewal_id) == [("sending", AMOUNT)]
    world.work_later(15)
    assert refunds(world, renewal_id) == [("refunded", AMOUNT)]


def test_concurrent_workers_call_the_provider_once_for_a_refund(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewal_id = world.captured()
    event = refund_due(renewal_id)
    world.handle(event)
    assert StoppedCall(monkeypatch, "refund").race(world.refund_next) == [False, False, False, False, True]
    world.work_later()
    assert len(world.sandbox.effects("refund", str(event.refund_id))) == 1


def test_refunds_in_sum_never_exceed_the_capture(world: World) -> None:
    renewal_id = world.captured()
    for amount in (150_000, 100_001, 100_000):
        world.handle(refund_due(renewal_id, amount, item_id=uuid.uuid4()))
    world.work_later()
    assert sorted(refunds(world, renewal_id)) == [("held", 100_001), ("refunded", 100_000), ("refunded", 150_000)]


def test_concurrent_refunds_never_exceed_the_capture(world: World) -> None:
    renewal_id = world.captured()
    for _ in range(4):
        world.handle(refund_due(renewal_id, 125_000, item_id=uuid.uuid4()))
    workers = [threading.Thread(target=world.refund_next) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    world.work_later()
    assert sorted(refunds(world, renewal_id)) == [("held", 125_000)] * 2 + [("refunded", 125_000)] * 2


def test_refund_in_another_currency_is_held(world: World) -> None:
    renewal_id = world.captured()
    world.handle(refund_due(renewal_id, currency="USD"))
    world.work_later()
    assert refunds(world, renewal_id) == [("held", AMOUNT)]


def test_refund_that_comes_before_the_capture_waits_for_it(world: World) -> None:
    renewal_id = world.paid()
    world.handle(refund_due(renewal_id))
    assert not world.refund_next()
    world.handle(closure(renewal_id))
    world.work()
    assert [type(event) for event in world.announced(renewal_id)] == [PaymentCaptured, PaymentRefunded]


@pytest.mark.parametrize("is_early", [True, False], ids=["before the end", "after the end"])
def test_refund_of_money_that_was_never_captured_is_held(world: World, is_early: bool) -> None:
    renewal_id = world.submitted()
    steps = [refund_due(renewal_id), closure(renewal_id)]
    for event in steps if is_early else reversed(steps):
        world.handle(event)
    world.work_later()
    assert refunds(world, renewal_id) == [("held", AMOUNT)]
    assert [type(event) for event in world.announced(renewal_id)] == [PaymentExpired]


def test_held_refund_goes_out_after_an_operators_recheck_if_it_fits(world: World) -> None:
    renewal_id = world.captured()
    world.handle(refund_due(renewal_id, AMOUNT + 1))
    world.work()
    world.rows("UPDATE refunds SET amount_minor = amount_minor - 1 RETURNING id")
    world.later += timedelta(seconds=1)
    with world.begin() as tx:
        handlers.recheck(tx, renewal_id, actor="operator-7")
    world.work()
    assert refunds(world, renewal_id) == [("refunded", AMOUNT)]


def test_known_refund_with_another_amount_is_refused(world: World) -> None:
    renewal_id = world.captured()
    event = refund_due(renewal_id, 1)
    world.handle(event)
    with pytest.raises(PaymentConflict):
        world.handle(refund_due(renewal_id, 2, refund_id=event.refund_id))


def test_refund_of_an_unknown_payment_is_refused(world: World) -> None:
    with pytest.raises(PaymentNotReady):
        world.handle(refund_due(RenewalId(uuid.uuid4())))


@pytest.mark.parametrize(
    ("answer", "end", "state", "effects"),
    [
        ("pending", "succeeded", "refunded", 1),
        ("pending", "failed", "held", 1),
        ("pending", "canceled", "held", 1),
        ("pending", None, "sending", 1),
        ("failed", None, "held", 1),
        ("canceled", None, "held", 1),
        ("under-review", None, "held", 1),
    ],
)
def test_refund_that_is_not_made_at_once_waits_or_is_held_and_is_never_made_twice(
    world: World, answer: str, end: str | None, state: str, effects: int
) -> None:
    renewal_id = world.captured()
    event = refund_due(renewal_id)
    held = HELD.labels("refund")._value.get()
    world.handle(event)
    world.sandbox.order_fault("refund", answer)
    world.work()
    if end is not None:
        world.sandbox.settle_refunds(str(event.refund_id), end)
    for _ in range(3):
        world.sandbox.forget_keys()
        world.work_later(16)
    assert refunds(world, renewal_id) == [(state, AMOUNT)]
    assert len(world.sandbox.effects("refund", str(event.refund_id))) == effects
    assert refunded(world, renewal_id) == ([event.refund_id] if state == "refunded" else [])
    assert HELD.labels("refund")._value.get() - held == (state == "held")
