"""The course of a renewal from draft to its end, by HTTP and by other services' events."""

import uuid
from datetime import timedelta

import pytest

from shared.events.application import (
    CancellationRequested,
    CSRRequested,
    RefundDue,
    RenewalCancelled,
    RenewalCompleted,
    RenewalSubmitted,
)
from shared.events.issuance import CertificateAccepted, PINReissued
from shared.events.mailing import CSRRequestSent, MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from shared.events.payment import PaymentDeclined
from shared.vocabulary import RenewalId
from tests.integration.services.application.world import MULTI, WILDCARD, WWW, World, body
from tests.support.builders import NOW


def test_renewal_of_three_goes_from_draft_to_completed(world: World) -> None:
    renewal = world.submitted(WWW, WILDCARD, MULTI)
    asked = world.announced(renewal.id, RenewalSubmitted)[0]
    assert asked.amount_minor == sum(fee.amount_minor for fee in asked.items) == renewal.amount_minor
    assert asked.pay_before == NOW + timedelta(days=14)
    world.apply(world.captured(renewal))
    (csrs,) = world.announced(renewal.id, CSRRequested)
    assert csrs.document.encode() == renewal.document
    for position in range(3):
        world.apply(world.opened(renewal, position))
    for position in range(3):
        world.apply(world.csr_received(renewal, position), world.issued(renewal, position))
    assert world.state(renewal) == "completed"
    (end,) = world.announced(renewal.id, RenewalCompleted)
    assert end.issued == tuple(renewal.item_id(position) for position in range(3))
    assert end.refused == ()
    assert world.names(renewal) == ["RenewalSubmitted", "CSRRequested", "RenewalCompleted"]
    assert world.rows("SELECT * FROM timers") == []
    assert world.held(renewal.id) == world.ignored(renewal) == []


def test_capture_announces_csr_requested_exactly_once(world: World) -> None:
    renewal = world.submitted()
    capture = world.captured(renewal)
    record = world.publisher.record(capture)
    world.apply_records(record, record)
    world.apply(capture)
    assert len(world.announced(renewal.id, CSRRequested)) == 1
    assert world.ignored(renewal) == ["captured before"]


@pytest.mark.parametrize("changes", [{"amount_minor": 1}, {"currency": "USD"}])
def test_capture_of_another_amount_is_held(world: World, changes: dict[str, object]) -> None:
    renewal = world.submitted()
    world.apply(world.captured(renewal, **changes))
    assert world.held(renewal.id) == ["wrong-amount"]
    assert world.state(renewal) == "awaiting-payment"
    assert world.announced(renewal.id, CSRRequested) == []


@pytest.mark.parametrize("ended", [False, True])
def test_second_payment_is_held_and_not_refunded(world: World, ended: bool) -> None:
    renewal = world.paid()
    if ended:
        world.cancel(renewal)
        world.apply(world.withheld(renewal))
    before = world.names(renewal)
    world.apply(world.captured(renewal, payment_id=uuid.uuid4()))
    assert world.held(renewal.id) == ["paid-twice"]
    assert world.names(renewal) == before


def test_capture_of_a_draft_is_held(world: World) -> None:
    renewal = world.draft()
    world.apply(world.captured(renewal))
    assert world.held(renewal.id) == ["not-in-this-state"]


def test_payment_for_an_unknown_renewal_is_held(world: World) -> None:
    renewal = world.draft()
    renewal.id = RenewalId(uuid.uuid4())
    world.apply(world.captured(renewal))
    assert world.held(renewal.id) == ["renewal-not-found"]


def test_declined_attempts_leave_the_renewal_waiting(world: World) -> None:
    renewal = world.submitted()
    decline = PaymentDeclined(renewal_id=renewal.id, payment_id=uuid.uuid4(), reason="insufficient-funds")
    world.apply(decline, decline)
    assert world.state(renewal) == "awaiting-payment"
    assert world.shown(renewal)["deadline"] == (NOW + timedelta(days=14)).isoformat()
    world.apply(world.captured(renewal))
    assert world.state(renewal) == "awaiting-csrs"


# Cancelling


def test_draft_is_cancelled_at_once(world: World) -> None:
    renewal = world.draft()
    assert world.cancel(renewal).status_code == 202
    assert world.state(renewal) == "cancelled"
    assert world.names(renewal) == []


def test_cancel_before_payment_closes_the_checkout_first(world: World) -> None:
    renewal = world.submitted()
    assert body(world.cancel(renewal))["state"] == "closing-checkout"
    assert world.announced(renewal.id, CancellationRequested) == []
    world.apply(world.expired(renewal))
    assert world.state(renewal) == "withholding"
    world.apply(world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert world.names(renewal) == [
        "RenewalSubmitted",
        "CheckoutClosureRequested",
        "CancellationRequested",
        "RenewalCancelled",
    ]
    assert world.announced(renewal.id, RenewalCancelled)[0].reason == "cancelled"


def test_capture_while_the_checkout_closes_is_refunded_once_issuance_has_withheld(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.apply(world.captured(renewal))
    assert world.announced(renewal.id, CSRRequested) == world.announced(renewal.id, RefundDue) == []
    world.apply(world.withheld(renewal))
    (refund,) = world.announced(renewal.id, RefundDue)
    assert (refund.item_id, refund.amount_minor) == (None, renewal.amount_minor)


def test_capture_after_the_cancellation_is_refunded_once(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.apply(world.expired(renewal), world.withheld(renewal))
    assert world.announced(renewal.id, RefundDue) == []
    world.apply(world.captured(renewal))
    world.apply(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal.id, RefundDue)] == [renewal.amount_minor]
    assert world.state(renewal) == "cancelled"


def test_capture_while_issuance_withholds_is_refunded_once(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.apply(world.expired(renewal))
    world.apply(world.captured(renewal))
    assert world.announced(renewal.id, RefundDue) == []
    world.apply(world.withheld(renewal))
    world.apply(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal.id, RefundDue)] == [renewal.amount_minor]


def test_cancel_after_payment_refunds_only_after_the_tombstone(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    assert body(world.cancel(renewal))["state"] == "withholding"
    assert world.announced(renewal.id, RefundDue) == []
    world.apply(world.withheld(renewal))
    assert world.item_states(renewal) == ["withheld", "withheld"]
    assert [refund.amount_minor for refund in world.announced(renewal.id, RefundDue)] == [renewal.amount_minor]
    assert world.shown(renewal)["ending"] == "cancelled"
    # Who tells the AR of the end knows by then what goes back, and whom to tell.
    assert world.names(renewal)[-2:] == ["RefundDue", "RenewalCancelled"]
    (end,) = world.announced(renewal.id, RenewalCancelled)
    (asked,) = world.announced(renewal.id, CSRRequested)
    assert (end.document, end.attestation) == (asked.document, asked.attestation)


def test_declined_cancellation_resumes_the_renewal(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.apply(world.declined(renewal))
    assert world.state(renewal) == "awaiting-csrs"
    assert world.shown(renewal)["ending"] is None
    world.apply(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "completed"
    assert world.announced(renewal.id, RefundDue) == []


def test_renewal_that_ended_while_withholding_completes_when_the_cancellation_is_declined(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.apply(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "withholding"
    world.apply(world.declined(renewal))
    assert world.state(renewal) == "completed"
    assert world.rows("SELECT * FROM timers") == []


def test_tombstone_ends_the_renewal_even_after_another_answer(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    world.apply(world.declined(renewal), world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert len(world.announced(renewal.id, RefundDue)) == 1


def test_tombstone_beside_an_issued_item_is_held_and_not_refunded(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.issued(renewal, 0))
    world.cancel(renewal)
    world.apply(world.withheld(renewal))
    assert world.held(renewal.id) == ["contradiction"]
    assert world.announced(renewal.id, RefundDue) == []


def test_second_cancellation_is_refused_with_the_state(world: World) -> None:
    renewal = world.paid()
    world.cancel(renewal)
    answer = world.cancel(renewal)
    assert (answer.status_code, body(answer)["state"]) == (409, "withholding")
    assert len(world.announced(renewal.id, CancellationRequested)) == 1


# Two topics in either order


@pytest.mark.parametrize("mailing_first", [0, 1, 2, 3, 4])
def test_events_of_mailing_and_issuance_may_come_in_any_order(world: World, mailing_first: int) -> None:
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
    reissued = PINReissued(
        renewal_id=renewal.id,
        item_id=item,
        envelope_id=uuid.uuid4(),
        server_name="www.harbourlights.example.hk",
        replaces=envelope,
    )
    issuance = [world.opened(renewal), reissued, world.csr_received(renewal), world.issued(renewal)]
    world.apply(world.captured(renewal))
    world.apply(*mailing[:mailing_first], *issuance, *mailing[mailing_first:])
    assert world.state(renewal) == "completed"
    assert world.held(renewal.id) == world.ignored(renewal) == []
    shown = {"csr-request-sent", "pin-envelope-posted", "pin-envelope-returned", "pin-reissued"}
    assert set(world.course(renewal)) >= shown


def test_acceptance_after_the_end_is_shown(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    world.apply(
        issued,
        CertificateAccepted(renewal_id=renewal.id, item_id=issued.item_id, serial=issued.serial, accepted_at=NOW),
    )
    assert world.item_states(renewal) == ["accepted"]
    assert world.state(renewal) == "completed"


def test_events_of_issuance_before_the_capture_change_only_items(world: World) -> None:
    renewal = world.submitted()
    world.apply(world.opened(renewal))
    world.apply(world.captured(renewal))
    world.apply(world.csr_received(renewal), world.issued(renewal))
    assert world.state(renewal) == "completed"
