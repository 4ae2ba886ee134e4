"""The course of a renewal from draft to its end, by HTTP and by other services' events."""

import uuid
from datetime import timedelta

import pytest

from shared.events.application import (
    CancellationRequested,
    CheckoutClosureRequested,
    ClosureReason,
    CSRRequested,
    RefundDue,
    RenewalCancelled,
    RenewalCompleted,
    RenewalSubmitted,
)
from shared.events.base import ARId, Event, RenewalId
from shared.events.issuance import CertificateAccepted, CertificateRevoked
from shared.events.mailing import CSRRequestSent, MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from shared.events.payment import PaymentDeclined
from tests.builders import AR, NOW
from tests.integration.application.world import MULTI, WILDCARD, WWW, World, body


def test_a_renewal_of_three_goes_from_draft_to_completed(world: World) -> None:
    renewal = world.submitted(WWW, WILDCARD, MULTI)
    asked = world.announced(renewal, RenewalSubmitted)[0]
    assert asked.amount_minor == sum(fee.amount_minor for fee in asked.items) == renewal.amount_minor
    assert asked.pay_before == NOW + timedelta(days=14)
    world.deliver(world.captured(renewal))
    (csrs,) = world.announced(renewal, CSRRequested)
    assert csrs.document.encode() == renewal.document
    for position in range(3):
        world.deliver(world.opened(renewal, position))
    for position in range(3):
        world.deliver(world.csr_received(renewal, position), world.issued(renewal, position))
    assert world.state(renewal) == "completed"
    (end,) = world.announced(renewal, RenewalCompleted)
    assert end.issued == tuple(renewal.item_id(position) for position in range(3))
    assert end.refused == ()
    assert world.names(renewal) == ["RenewalSubmitted", "CSRRequested", "RenewalCompleted"]
    assert world.rows("SELECT * FROM timers") == []
    assert world.held(renewal) == world.ignored(renewal) == []


def test_a_capture_asks_for_the_csrs_exactly_once(world: World) -> None:
    renewal = world.submitted()
    capture = world.captured(renewal)
    record = world.publisher.record(capture)
    world.apply(record, record)
    world.deliver(capture)
    assert len(world.announced(renewal, CSRRequested)) == 1
    assert world.ignored(renewal) == ["captured before"]


@pytest.mark.parametrize("changes", [{"amount_minor": 1}, {"currency": "USD"}])
def test_a_capture_of_another_amount_is_held(world: World, changes: dict[str, object]) -> None:
    renewal = world.submitted()
    world.deliver(world.captured(renewal, **changes))
    assert world.held(renewal) == ["wrong-amount"]
    assert world.state(renewal) == "awaiting-payment"
    assert world.announced(renewal, CSRRequested) == []


@pytest.mark.parametrize("ended", [False, True])
def test_a_second_payment_is_held_and_nothing_is_paid_back_unasked(world: World, ended: bool) -> None:
    renewal = world.paid()
    if ended:
        world.cancel(renewal)
        world.deliver(world.withheld(renewal))
    before = world.names(renewal)
    world.deliver(world.captured(renewal, payment_id=uuid.uuid4()))
    assert world.held(renewal) == ["paid-twice"]
    assert world.names(renewal) == before


def test_a_capture_of_a_draft_is_held_not_lost(world: World) -> None:
    renewal = world.draft()
    world.deliver(world.captured(renewal))
    assert world.held(renewal) == ["not-in-this-state"]


def test_money_for_an_unknown_renewal_is_held_not_lost(world: World) -> None:
    renewal = world.draft()
    renewal.id = RenewalId(uuid.uuid4())
    world.deliver(world.captured(renewal))
    assert world.held(renewal) == ["renewal-not-found"]


def test_declined_attempts_leave_the_renewal_waiting(world: World) -> None:
    renewal = world.submitted()
    decline = PaymentDeclined(renewal_id=renewal.id, payment_id=uuid.uuid4(), reason="insufficient-funds")
    world.deliver(decline, decline)
    assert world.state(renewal) == "awaiting-payment"
    assert world.shown(renewal)["deadline"] == (NOW + timedelta(days=14)).isoformat()
    world.deliver(world.captured(renewal))
    assert world.state(renewal) == "awaiting-csrs"


# Cancelling


def test_a_draft_is_cancelled_at_once(world: World) -> None:
    renewal = world.draft()
    assert world.cancel(renewal).status_code == 202
    assert world.state(renewal) == "cancelled"
    assert world.names(renewal) == []


def test_cancel_before_payment_closes_the_checkout_first(world: World) -> None:
    renewal = world.submitted()
    assert body(world.cancel(renewal))["state"] == "closing-checkout"
    assert world.announced(renewal, CancellationRequested) == []
    world.deliver(world.expired(renewal))
    assert world.state(renewal) == "withholding"
    world.deliver(world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert world.names(renewal) == [
        "RenewalSubmitted",
        "CheckoutClosureRequested",
        "CancellationRequested",
        "RenewalCancelled",
    ]
    assert world.announced(renewal, RenewalCancelled)[0].reason == "cancelled"


def test_a_capture_while_the_checkout_closes_goes_back_once_issuance_has_withheld(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.deliver(world.captured(renewal))
    assert world.announced(renewal, CSRRequested) == world.announced(renewal, RefundDue) == []
    world.deliver(world.withheld(renewal))
    (refund,) = world.announced(renewal, RefundDue)
    assert (refund.item_id, refund.amount_minor) == (None, renewal.amount_minor)


def test_a_capture_after_the_cancellation_is_paid_back_once(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.deliver(world.expired(renewal), world.withheld(renewal))
    assert world.announced(renewal, RefundDue) == []
    world.deliver(world.captured(renewal))
    world.deliver(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal, RefundDue)] == [renewal.amount_minor]
    assert world.state(renewal) == "cancelled"


def test_a_capture_while_issuance_withholds_is_paid_back_once(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.deliver(world.expired(renewal))
    world.deliver(world.captured(renewal))
    assert world.announced(renewal, RefundDue) == []
    world.deliver(world.withheld(renewal))
    world.deliver(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal, RefundDue)] == [renewal.amount_minor]


def test_cancel_after_payment_refunds_only_after_the_tombstone(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    assert body(world.cancel(renewal))["state"] == "withholding"
    assert world.announced(renewal, RefundDue) == []
    world.deliver(world.withheld(renewal))
    assert world.item_states(renewal) == ["withheld", "withheld"]
    assert [refund.amount_minor for refund in world.announced(renewal, RefundDue)] == [renewal.amount_minor]
    assert world.shown(renewal)["ending"] == "cancelled"


def test_a_declined_cancellation_lets_the_renewal_go_on(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.deliver(world.declined(renewal))
    assert world.state(renewal) == "awaiting-csrs"
    assert world.shown(renewal)["ending"] is None
    world.deliver(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "completed"
    assert world.announced(renewal, RefundDue) == []


def test_a_renewal_that_ended_while_withholding_completes_when_the_cancellation_is_declined(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.deliver(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "withholding"
    world.deliver(world.declined(renewal))
    assert world.state(renewal) == "completed"
    assert world.rows("SELECT * FROM timers") == []


def test_a_tombstone_ends_the_renewal_even_when_another_answer_came_first(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.deliver(world.declined(renewal), world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert len(world.announced(renewal, RefundDue)) == 1


def test_a_tombstone_beside_an_issued_item_is_held_and_nothing_is_paid_back(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.issued(renewal, 0))
    world.cancel(renewal)
    world.deliver(world.withheld(renewal))
    assert world.held(renewal) == ["contradiction"]
    assert world.announced(renewal, RefundDue) == []


def test_cancelling_twice_is_refused_with_the_state(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    answer = world.cancel(renewal)
    assert (answer.status_code, body(answer)["state"]) == (409, "withholding")
    assert len(world.announced(renewal, CancellationRequested)) == 1


# Items end one by one


def test_a_refused_item_gets_its_own_money_back_and_the_others_go_on(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.opened(renewal, 0), world.opened(renewal, 1), world.refused(renewal, 0))
    (refund,) = world.announced(renewal, RefundDue)
    assert (refund.item_id, refund.amount_minor) == (renewal.item_id(0), 250_000)
    assert world.state(renewal) == "awaiting-csrs"
    world.deliver(world.csr_received(renewal, 1), world.issued(renewal, 1))
    (end,) = world.announced(renewal, RenewalCompleted)
    assert (end.issued, end.refused) == ((renewal.item_id(1),), (renewal.item_id(0),))
    assert world.shown(renewal)["ending"] is None


def test_an_item_refused_before_its_order_was_opened_is_paid_back(world: World) -> None:
    renewal = world.paid()
    world.deliver(world.refused(renewal))
    assert world.item_states(renewal) == ["refused"]
    assert len(world.announced(renewal, RefundDue)) == 1


def test_a_refusal_said_twice_pays_back_once(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.refused(renewal), world.refused(renewal))
    assert len(world.announced(renewal, RefundDue)) == 1


def test_all_items_refused_end_the_renewal_with_everything_paid_back(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.refused(renewal, 0), world.refused(renewal, 1))
    assert world.state(renewal) == "refused"
    assert sum(refund.amount_minor for refund in world.announced(renewal, RefundDue)) == renewal.amount_minor
    assert world.announced(renewal, RenewalCancelled)[0].reason == "refused"
    assert world.announced(renewal, RenewalCompleted) == []


def test_item_and_whole_refund_together_pay_back_what_was_captured(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.refused(renewal, 0))
    world.cancel(renewal)
    world.deliver(world.withheld(renewal))
    amounts = [refund.amount_minor for refund in world.announced(renewal, RefundDue)]
    assert amounts == [250_000, renewal.amount_minor - 250_000]
    assert world.item_states(renewal) == ["refused", "withheld"]


def test_items_refused_while_withholding_leave_nothing_more_to_pay_back(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.cancel(renewal)
    world.deliver(world.refused(renewal, 0), world.refused(renewal, 1), world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert sum(refund.amount_minor for refund in world.announced(renewal, RefundDue)) == renewal.amount_minor
    world.deliver(world.captured(renewal))
    assert sum(refund.amount_minor for refund in world.announced(renewal, RefundDue)) == renewal.amount_minor


def test_a_certificate_for_a_refunded_item_is_held(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.refused(renewal, 0), world.issued(renewal, 0))
    assert world.held(renewal) == ["contradiction"]
    assert world.item_states(renewal) == ["refused", "pending"]


def test_a_refusal_of_an_issued_item_is_held_and_not_paid_back(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.issued(renewal, 0), world.refused(renewal, 0))
    assert world.held(renewal) == ["contradiction"]
    assert world.announced(renewal, RefundDue) == []


def test_another_csr_after_one_was_set_aside_is_shown(world: World) -> None:
    renewal = world.paid()
    world.deliver(world.opened(renewal), world.csr_received(renewal), world.csr_received(renewal))
    assert world.course(renewal).count("csr-received") == 2
    assert world.item_states(renewal) == ["csr-received"]


def test_an_issued_certificate_renews_its_subscription(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    world.deliver(issued)
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert (shown["serial"], shown["reason"]) == (issued.serial, None)
    assert shown["not_after"] == issued.not_after.isoformat()


def test_a_new_certificate_is_in_good_standing_whatever_befell_the_old_one(world: World) -> None:
    renewal = world.paid()
    world.change_subscription(WWW, standing="revoked")
    world.deliver(world.issued(renewal))
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] is None


def test_a_revoked_new_certificate_cannot_be_renewed_online(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    revoked = CertificateRevoked(
        renewal_id=renewal.id,
        item_id=issued.item_id,
        serial=issued.serial,
        reason="keyCompromise",
        revoked_at=NOW,
    )
    world.deliver(issued, revoked)
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] == "revoked"
    assert world.item_states(renewal) == ["issued"]


def test_the_revocation_of_a_replaced_certificate_leaves_the_subscription_alone(world: World) -> None:
    first = world.paid()
    old = world.issued(first)
    world.deliver(old)
    second = world.paid()
    world.deliver(world.issued(second))
    world.deliver(
        CertificateRevoked(
            renewal_id=first.id, item_id=old.item_id, serial=old.serial, reason="superseded", revoked_at=NOW
        )
    )
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] is None


# Refunds


def test_a_refund_settles_in_whatever_state_the_renewal_is(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.deliver(world.refused(renewal, 0))
    (due,) = world.announced(renewal, RefundDue)
    world.deliver(world.refunded(renewal, due.refund_id, due.amount_minor))
    (shown,) = world.shown(renewal)["refunds"]
    assert shown == {
        "id": str(due.refund_id),
        "item_id": str(renewal.item_id(0)),
        "amount_minor": 250_000,
        "refunded_at": NOW.isoformat(),
    }
    world.deliver(world.refunded(renewal, due.refund_id, due.amount_minor))
    assert world.ignored(renewal) == ["refund is settled"]
    assert world.course(renewal).count("refunded") == 1


def test_a_refund_nobody_asked_for_is_held(world: World) -> None:
    renewal = world.paid()
    world.deliver(world.refunded(renewal, uuid.uuid4(), 250_000))
    assert world.held(renewal) == ["refund-not-found"]


def test_a_refund_of_another_amount_is_held(world: World) -> None:
    renewal = world.paid()
    world.deliver(world.refused(renewal))
    (due,) = world.announced(renewal, RefundDue)
    world.deliver(world.refunded(renewal, due.refund_id, due.amount_minor - 1))
    assert world.held(renewal) == ["wrong-amount"]
    assert world.shown(renewal)["refunds"][0]["refunded_at"] is None


# On hold


def test_an_ar_replaced_between_submission_and_payment_puts_the_renewal_on_hold(world: World) -> None:
    renewal = world.submitted(WWW, WILDCARD)
    world.change_subscription(WILDCARD, ar_id="ar-new")
    world.deliver(world.captured(renewal))
    assert world.state(renewal) == "on-hold"
    assert world.announced(renewal, CSRRequested) == []
    world.deliver(world.captured(renewal))
    assert world.state(renewal) == "on-hold"


def test_a_subscription_that_went_to_another_subscriber_puts_the_renewal_on_hold(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, subscriber_id="sub-other")
    world.deliver(world.captured(renewal))
    assert world.state(renewal) == "on-hold"


def test_the_new_ar_cancels_a_renewal_on_hold_and_the_money_goes_back(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, ar_id="ar-new")
    world.deliver(world.captured(renewal))
    assert world.cancel(renewal, ar=AR(id=ARId("ar-new"), certificate_sha256="c2" * 32)).status_code == 202
    world.deliver(world.withheld(renewal))
    assert len(world.announced(renewal, RefundDue)) == 1


# Deadlines


def test_an_unpaid_renewal_asks_payment_before_it_expires(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14) - timedelta(seconds=1))
    assert world.state(renewal) == "awaiting-payment"
    world.pass_time(timedelta(seconds=1))
    assert world.state(renewal) == "expiring"
    assert world.announced(renewal, CheckoutClosureRequested)[0].reason is ClosureReason.DEADLINE
    world.deliver(world.expired(renewal))
    assert world.state(renewal) == "expired"
    assert world.announced(renewal, RenewalCancelled)[0].reason == "not-paid"
    assert world.draft().items, "the subscription is free again"


def test_a_payment_in_the_last_moment_counts(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14))
    world.deliver(world.captured(renewal))
    assert world.state(renewal) == "awaiting-csrs"
    assert world.shown(renewal)["ending"] is None
    assert world.shown(renewal)["deadline"] == (world.now + timedelta(days=90)).isoformat()


def test_a_capture_after_the_expiry_is_paid_back_once(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14))
    world.deliver(world.expired(renewal), world.captured(renewal))
    world.deliver(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal, RefundDue)] == [renewal.amount_minor]
    assert world.announced(renewal, CSRRequested) == []


def test_a_payment_that_closed_by_itself_expires_the_renewal(world: World) -> None:
    renewal = world.submitted()
    world.deliver(world.expired(renewal))
    assert world.state(renewal) == "expired"


def test_the_payment_deadline_does_nothing_once_the_renewal_is_paid(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=20))
    assert world.state(renewal) == "awaiting-csrs"


def test_csrs_that_do_not_come_end_the_renewal_with_a_refund(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=90))
    assert world.state(renewal) == "withholding"
    world.deliver(world.withheld(renewal))
    assert world.announced(renewal, RenewalCancelled)[0].reason == "no-csr"
    assert len(world.announced(renewal, RefundDue)) == 1


def test_a_csr_deadline_against_an_intent_starts_anew(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=90))
    world.deliver(world.declined(renewal))
    assert world.shown(renewal)["deadline"] == (world.now + timedelta(days=90)).isoformat()


def test_nobody_releasing_a_renewal_on_hold_ends_it_with_a_refund(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, ar_id="ar-new")
    world.deliver(world.captured(renewal))
    world.pass_time(timedelta(days=30))
    world.deliver(world.withheld(renewal))
    assert world.announced(renewal, RenewalCancelled)[0].reason == "not-released"
    assert len(world.announced(renewal, RefundDue)) == 1


@pytest.mark.parametrize("waiting_for", ["checkout", "expiry", "tombstone"])
def test_an_answer_that_does_not_come_is_asked_for_again_every_day(world: World, waiting_for: str) -> None:
    asked: type[Event] = CheckoutClosureRequested
    if waiting_for == "tombstone":
        renewal, asked = world.paid(), CancellationRequested
        world.cancel(renewal)
    elif waiting_for == "checkout":
        renewal = world.submitted()
        world.cancel(renewal)
    else:
        renewal = world.submitted()
        world.pass_time(timedelta(days=14))
    state = world.state(renewal)
    for times in (2, 3):
        world.pass_time(timedelta(days=1))
        assert len(world.announced(renewal, asked)) == times
    assert world.state(renewal) == state
    assert world.audited(str(renewal.id)).count("answer-overdue") == 2


# Two topics in either order


@pytest.mark.parametrize("mailing_first", [0, 1, 2, 3, 4])
def test_mailing_and_issuance_may_speak_in_any_order(world: World, mailing_first: int) -> None:
    renewal = world.submitted()
    item, envelope = renewal.item_id(0), uuid.uuid4()
    mailing = [
        CSRRequestSent(renewal_id=renewal.id, message_id="<1@ecert>", sent_at=NOW),
        PINEnvelopePosted(
            renewal_id=renewal.id,
            item_id=item,
            envelope_id=envelope,
            server_name="www.harbourlights.example.hk",
            registered_number="RR123456785HK",
            posted_on=NOW.date(),
        ),
        PINEnvelopeReturned(
            renewal_id=renewal.id, item_id=item, envelope_id=envelope, reason="moved", returned_on=NOW.date()
        ),
        MailBounced(renewal_id=renewal.id, message_id="<1@ecert>", reply_code=550),
    ]
    issuance = [world.opened(renewal), world.csr_received(renewal), world.issued(renewal)]
    world.deliver(world.captured(renewal))
    world.deliver(*mailing[:mailing_first], *issuance, *mailing[mailing_first:])
    assert world.state(renewal) == "completed"
    assert world.held(renewal) == world.ignored(renewal) == []
    assert set(world.course(renewal)) >= {"csr-request-sent", "pin-envelope-posted", "pin-envelope-returned"}


def test_an_acceptance_after_the_end_is_shown(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    world.deliver(
        issued,
        CertificateAccepted(renewal_id=renewal.id, item_id=issued.item_id, serial=issued.serial, accepted_at=NOW),
    )
    assert world.item_states(renewal) == ["accepted"]
    assert world.state(renewal) == "completed"


def test_events_of_issuance_ahead_of_the_captures_change_no_more_than_items(world: World) -> None:
    renewal = world.submitted()
    world.deliver(world.opened(renewal))
    world.deliver(world.captured(renewal))
    world.deliver(world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "completed"
