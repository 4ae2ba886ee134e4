"""A payment is captured once, whatever happens to the provider's answers and webhooks."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest

from services.payment import handlers, outcomes, store, work
from services.payment.domain import Checkout, Payment
from services.payment.refusals import PaymentConflict, PaymentNotReady
from shared.events.application import ItemFee
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired
from shared.security.tokens import KeySet, TokenKind, verify
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId
from tests.integration.services.payment.stopped_call import StoppedCall
from tests.integration.services.payment.world import AMOUNT, World, closure, renewal_submitted


def kinds(world: World, renewal_id: RenewalId) -> list[type]:
    return [type(event) for event in world.announced(renewal_id)]


def test_paid_renewal_is_captured_and_announced_with_a_signed_receipt(world: World) -> None:
    renewal_id = world.paid()
    world.work_later()
    (event,) = world.announced(renewal_id)
    assert isinstance(event, PaymentCaptured)
    assert (event.amount_minor, event.currency) == (AMOUNT, "HKD")
    claims = verify(
        event.receipt,
        kind=TokenKind.RECEIPT,
        keys=KeySet.parse({"keys": [world.payment_key.jwk()]}),
        now=world.clock(),
        issuer="payment",
    )
    assert {name: claims[name] for name in ("sub", "payment_id", "amount_minor", "currency", "document_sha256")} == {
        "sub": str(renewal_id),
        "payment_id": str(event.payment_id),
        "amount_minor": AMOUNT,
        "currency": "HKD",
        "document_sha256": "cd" * 32,
    }
    assert claims["captured_at"] == event.captured_at.isoformat()
    assert claims["payer_name"] == "Example Limited"
    assert claims["provider_reference"].startswith("cs_")
    ledger = world.rows("SELECT debit, credit, amount_minor, currency FROM ledger")
    assert ledger == [("provider", "renewal-fees", AMOUNT, "HKD")]


def test_reissue_needs_no_payment(world: World) -> None:
    free = (ItemFee(item_id=ItemId(uuid.uuid4()), amount_minor=0),)
    event = renewal_submitted(now=world.clock(), amount_minor=0, items=free)
    assert not world.changes_something(event)
    with world.begin() as tx:
        assert store.find_payment(tx.conn, event.renewal_id) is None


def test_webhook_triggers_the_capture_and_a_second_one_changes_nothing(world: World) -> None:
    renewal_id = world.paid()
    world.work()
    assert world.state(renewal_id) == "open"
    reference = world.checkout_ids(renewal_id)[0]
    for _ in range(2):
        assert world.post_webhook(reference).status_code == 204
        world.work()
    assert len(world.captures(renewal_id)) == 1
    assert kinds(world, renewal_id) == [PaymentCaptured]
    assert len(world.rows("SELECT id FROM provider_webhooks")) == 1


def test_lost_webhook_is_compensated_by_polling(world: World) -> None:
    renewal_id = world.paid()
    world.work_later()
    assert (world.state(renewal_id), len(world.captures(renewal_id))) == ("captured", 1)


def test_slow_payment_is_still_found(world: World) -> None:
    renewal_id = world.submitted()
    url = world.checkout_url(renewal_id)
    for _ in range(10):
        world.work_later()
    world.sandbox.press(url, "pay")
    world.work_later()
    assert world.state(renewal_id) == "captured"


def test_second_capture_changes_nothing(world: World) -> None:
    renewal_id = world.captured()
    world.rows("UPDATE payments SET due_at = created_at RETURNING id")
    world.work()
    assert (len(world.captures(renewal_id)), kinds(world, renewal_id)) == (1, [PaymentCaptured])


@pytest.mark.parametrize("operation", ["retrieve", "capture"])
def test_provider_outage_delays_the_capture(world: World, operation: str) -> None:
    renewal_id = world.paid()
    world.sandbox.order_fault(operation, "error", times=3)
    for _ in range(3):
        world.work_later()
        assert world.state(renewal_id) == "open"
    world.work_later()
    assert (world.state(renewal_id), len(world.captures(renewal_id))) == ("captured", 1)


def test_capture_whose_answer_was_lost_is_found_and_announced_once(world: World) -> None:
    renewal_id = world.paid()
    world.sandbox.order_fault("capture", "lost")
    world.work_later()
    assert (world.state(renewal_id), len(world.captures(renewal_id))) == ("open", 1)
    world.work_later()
    assert (world.state(renewal_id), len(world.captures(renewal_id))) == ("captured", 1)
    assert kinds(world, renewal_id) == [PaymentCaptured]


def test_concurrent_workers_call_the_provider_once_for_a_payment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewal_id = world.paid()
    world.later += timedelta(minutes=6)
    assert StoppedCall(monkeypatch, "capture").race(world.capture_next) == [False, False, False, False, True]
    world.work_later()
    assert (len(world.captures(renewal_id)), kinds(world, renewal_id)) == (1, [PaymentCaptured])


def test_webhook_during_the_call_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewal_id = world.submitted()
    url = world.checkout_url(renewal_id)
    world.later += timedelta(minutes=6)
    world.sandbox.order_fault("retrieve", "error")
    call = StoppedCall(monkeypatch, "find_checkout")
    worker = threading.Thread(target=world.capture_next)
    worker.start()
    call.wait()
    world.sandbox.press(url, "pay")
    world.post_webhook(world.checkout_ids(renewal_id)[0])
    call.release()
    worker.join()
    world.work()
    assert world.state(renewal_id) == "captured"


def test_payment_of_a_dead_worker_is_claimed_after_its_lease(world: World) -> None:
    renewal_id = world.paid()
    world.later += timedelta(minutes=6)
    world.rows("UPDATE payments SET leased_until = %s RETURNING id", world.clock() + timedelta(seconds=60))
    assert not world.capture_next()
    world.later += timedelta(seconds=61)
    assert world.capture_next()
    assert world.state(renewal_id) == "captured"


def test_another_amount_at_the_provider_is_held_and_never_captured(world: World) -> None:
    renewal_id = world.submitted()
    world.sandbox.order_fault("create", "wrong-amount")
    answer = world.ask_for_checkout(renewal_id)
    assert (answer.status_code, answer.get_json()["type"]) == (409, "urn:ecert:problem:payment-held")
    world.work_later()
    assert (world.state(renewal_id), world.captures(renewal_id), kinds(world, renewal_id)) == ("held", [], [])
    assert world.rows("SELECT count(*) FROM audit_log WHERE action = 'payment-held'") == [(1,)]


def test_paid_session_of_another_amount_is_held_even_when_it_is_closed(world: World) -> None:
    renewal_id = world.paid()
    world.rows("UPDATE checkouts SET amount_minor = amount_minor - 1 RETURNING id")
    world.handle(closure(renewal_id))
    world.work()
    assert (world.state(renewal_id), world.captures(renewal_id), kinds(world, renewal_id)) == ("held", [], [])


def test_each_decline_is_announced_once_and_the_payer_may_try_again(world: World) -> None:
    renewal_id = world.submitted()
    url = world.checkout_url(renewal_id)
    world.sandbox.press(url, "decline")
    world.work_later()
    world.sandbox.press(url, "decline")
    world.work_later()
    world.work_later()
    assert kinds(world, renewal_id) == [PaymentDeclined, PaymentDeclined]
    world.sandbox.press(url, "pay")
    world.work_later()
    assert kinds(world, renewal_id)[2:] == [PaymentCaptured]


def test_closing_an_unpaid_checkout_expires_the_payment_and_closes_the_page(world: World) -> None:
    renewal_id = world.submitted()
    url = world.checkout_url(renewal_id)
    world.handle(closure(renewal_id))
    assert world.ask_for_checkout(renewal_id).get_json()["type"] == "urn:ecert:problem:payment-closed"
    world.work()
    assert [event.reason for event in world.announced(renewal_id)] == ["cancelled"]
    assert "has closed this payment" in world.sandbox.press_and_follow(url, "pay")
    world.work_later()
    assert (kinds(world, renewal_id), world.captures(renewal_id)) == ([PaymentExpired], [])


def test_payment_that_came_before_the_closing_is_captured(world: World) -> None:
    renewal_id = world.paid()
    world.handle(closure(renewal_id))
    world.work()
    assert (kinds(world, renewal_id), len(world.captures(renewal_id))) == ([PaymentCaptured], 1)


def test_closing_waits_for_the_providers_answer(world: World) -> None:
    renewal_id = world.submitted()
    world.checkout_url(renewal_id)
    world.handle(closure(renewal_id))
    world.sandbox.order_fault("cancel", "error")
    world.sandbox.order_fault("cancel", "lost")
    world.work()
    assert (world.state(renewal_id), kinds(world, renewal_id)) == ("closing", [])
    world.work_later()
    world.work_later()
    assert (world.state(renewal_id), kinds(world, renewal_id)) == ("expired", [PaymentExpired])


def test_closing_a_payment_without_a_checkout_expires_it_once_the_provider_knows_none(world: World) -> None:
    renewal_id = world.submitted()
    world.handle(closure(renewal_id))
    world.work()
    assert (world.state(renewal_id), kinds(world, renewal_id)) == ("expired", [PaymentExpired])


@pytest.mark.parametrize(("state", "answer"), [("captured", PaymentCaptured), ("expired", PaymentExpired)])
def test_repeated_closure_request_is_answered_again_and_changes_nothing(world: World, state: str, answer: type) -> None:
    renewal_id = world.captured() if state == "captured" else world.submitted()
    world.handle(closure(renewal_id))
    world.work()
    first = world.announced(renewal_id)[-1]
    world.handle(closure(renewal_id))
    world.work()
    assert world.announced(renewal_id)[-1] == first
    assert {type(event) for event in world.announced(renewal_id)} == {answer}
    assert world.state(renewal_id) == state
    assert len(world.captures(renewal_id)) == (state == "captured")


def test_repeated_closure_request_while_closing_polls_the_provider_at_once(world: World) -> None:
    renewal_id = world.submitted()
    world.handle(closure(renewal_id))
    world.sandbox.order_fault("retrieve", "error", times=5)
    for _ in range(5):
        world.work_later()
    assert world.state(renewal_id) == "closing"
    world.handle(closure(renewal_id))
    world.work()
    assert (world.state(renewal_id), kinds(world, renewal_id)) == ("expired", [PaymentExpired])


@pytest.mark.parametrize("fault", ["lost", "error"])
def test_closing_an_intent_leaves_no_session_that_can_be_paid(world: World, fault: str) -> None:
    renewal_id = world.submitted()
    world.sandbox.order_fault("create", fault)
    assert world.ask_for_checkout(renewal_id).status_code == 503
    world.handle(closure(renewal_id))
    world.work()
    assert kinds(world, renewal_id) == [PaymentExpired]
    (reference,) = world.checkout_ids(renewal_id)
    assert len(world.sandbox.effects("session", reference)) == 1


def test_payment_paid_before_the_answer_of_its_opening_arrived_is_captured(world: World) -> None:
    renewal_id = world.submitted()
    world.sandbox.order_fault("create", "lost")
    assert world.ask_for_checkout(renewal_id).status_code == 503
    (reference,) = world.checkout_ids(renewal_id)
    session = world.adapter().find_checkout(_checkout(world, renewal_id))
    assert session is not None
    world.sandbox.press(session.checkout_url, "pay")
    assert world.post_webhook(reference).status_code == 204
    world.work()
    assert (world.state(renewal_id), len(world.captures(renewal_id))) == ("captured", 1)


def _checkout(world: World, renewal_id: RenewalId) -> Checkout:
    with world.pool.connection() as conn:
        payment = store.find_payment(conn, renewal_id)
        assert payment is not None
        checkout = store.find_live_checkout(conn, payment.id)
    assert checkout is not None
    return checkout


def test_held_payment_continues_after_an_operators_recheck(world: World) -> None:
    renewal_id = world.paid()
    world.rows("UPDATE checkouts SET amount_minor = amount_minor - 1 RETURNING id")
    world.work_later()
    assert world.state(renewal_id) == "held"
    world.rows("UPDATE checkouts SET amount_minor = amount_minor + 1 RETURNING id")
    with world.begin() as tx:
        handlers.recheck(tx, renewal_id, actor="operator-7")
    world.work()
    assert world.state(renewal_id) == "captured"
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'recheck'") == [("operator-7",)]


def test_second_submission_of_one_renewal_is_ignored(world: World) -> None:
    event = renewal_submitted(now=world.clock())
    world.handle(event)
    assert not world.changes_something(event)
    assert len(world.rows("SELECT id FROM payments")) == 1


def test_fees_that_do_not_add_up_are_refused(world: World) -> None:
    items = (ItemFee(item_id=ItemId(uuid.uuid4()), amount_minor=1),)
    with pytest.raises(PaymentConflict):
        world.submitted(items=items)


def test_closing_an_unknown_payment_is_refused(world: World) -> None:
    with pytest.raises(PaymentNotReady):
        world.handle(closure(renewal_submitted(now=world.clock()).renewal_id))


def test_paid_checkout_comes_before_a_thousand_overdue_polls(world: World) -> None:
    renewal_id = world.paid()
    world.rows(
        """INSERT INTO payments (id, renewal_id, reference, subscriber_id, ar_id, payer_name, amount_minor, currency,
                                 document_sha256, pay_before, state, due_at, created_at)
           SELECT gen_random_uuid(), gen_random_uuid(), 'R', 's', 'a', 'p', 1, 'HKD', 'd', now(), 'open',
                  now() - interval '1 day', now() FROM generate_series(1, 1000) RETURNING id"""
    )
    assert world.post_webhook(world.checkout_ids(renewal_id)[0]).status_code == 204
    assert world.capture_next()
    assert world.state(renewal_id) == "captured"


def test_failing_payments_delay_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, sound = [world.paid() for _ in range(3)], world.paid()
    world.later += timedelta(minutes=6)

    def record(tx: Tx, renewal_id: RenewalId, *rest: Any) -> Payment:
        if renewal_id in failing:
            raise RuntimeError("a fault of ours in one row")
        return outcomes.record_outcome(tx, renewal_id, *rest, key=world.payment_key)

    raised = 0
    for _ in range(5):
        try:
            work.capture_next(world.pool, world.adapter(), record, clock=world.clock)
        except RuntimeError:
            raised += 1
    assert (raised, world.state(sound)) == (3, "captured")
    leases = world.rows("SELECT DISTINCT attempts FROM payments WHERE leased_until IS NOT NULL")
    assert leases == [(1,)]
    world.work_later()
    assert [world.state(renewal_id) for renewal_id in failing] == ["captured"] * 3
