"""Renewals that wait: on hold for a person, or for somebody who does not act in time."""

from datetime import timedelta

import pytest

from shared.events.application import (
    CancellationRequested,
    CheckoutClosureRequested,
    ClosureReason,
    CSRRequested,
    RefundDue,
    RenewalCancelled,
)
from shared.events.base import Event
from shared.vocabulary import ARId
from tests.integration.services.application.world import WILDCARD, WWW, World
from tests.support.builders import AR


def test_ar_replaced_between_submission_and_payment_puts_the_renewal_on_hold(world: World) -> None:
    renewal = world.submitted(WWW, WILDCARD)
    world.change_subscription(WILDCARD, ar_id="ar-new")
    world.apply(world.captured(renewal))
    assert world.state(renewal) == "on-hold"
    assert world.announced(renewal.id, CSRRequested) == []
    world.apply(world.captured(renewal))
    assert world.state(renewal) == "on-hold"


def test_subscription_of_another_subscriber_puts_the_renewal_on_hold(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, subscriber_id="sub-other")
    world.apply(world.captured(renewal))
    assert world.state(renewal) == "on-hold"


def test_new_ar_cancels_a_renewal_on_hold_and_it_is_refunded(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, ar_id="ar-new")
    world.apply(world.captured(renewal))
    assert world.cancel(renewal, ar=AR(id=ARId("ar-new"), certificate_sha256="c2" * 32)).status_code == 202
    world.apply(world.withheld(renewal))
    assert len(world.announced(renewal.id, RefundDue)) == 1


# Deadlines


def test_unpaid_renewal_closes_the_checkout_before_it_expires(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14) - timedelta(seconds=1))
    assert world.state(renewal) == "awaiting-payment"
    world.pass_time(timedelta(seconds=1))
    assert world.state(renewal) == "expiring"
    assert world.announced(renewal.id, CheckoutClosureRequested)[0].reason is ClosureReason.DEADLINE
    world.apply(world.expired(renewal))
    assert world.state(renewal) == "expired"
    (end,) = world.announced(renewal.id, RenewalCancelled)
    assert end.reason == "not-paid"
    assert (end.document, bool(end.attestation)) == (renewal.document.decode(), True)
    assert world.draft().items, "the subscription is free again"


def test_payment_during_the_expiry_is_accepted(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14))
    world.apply(world.captured(renewal))
    assert world.state(renewal) == "awaiting-csrs"
    assert world.shown(renewal)["ending"] is None
    assert world.shown(renewal)["deadline"] == (world.now + timedelta(days=90)).isoformat()


def test_capture_after_the_expiry_is_refunded_once(world: World) -> None:
    renewal = world.submitted()
    world.pass_time(timedelta(days=14))
    world.apply(world.expired(renewal), world.captured(renewal))
    world.apply(world.captured(renewal))
    assert [refund.amount_minor for refund in world.announced(renewal.id, RefundDue)] == [renewal.amount_minor]
    assert world.announced(renewal.id, CSRRequested) == []


def test_checkout_that_expired_at_the_provider_expires_the_renewal(world: World) -> None:
    renewal = world.submitted()
    world.apply(world.expired(renewal))
    assert world.state(renewal) == "expired"


def test_payment_deadline_does_nothing_once_the_renewal_is_paid(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=20))
    assert world.state(renewal) == "awaiting-csrs"


def test_missing_csrs_end_the_renewal_with_a_refund(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=90))
    assert world.state(renewal) == "withholding"
    world.apply(world.withheld(renewal))
    assert world.announced(renewal.id, RenewalCancelled)[0].reason == "no-csr"
    assert len(world.announced(renewal.id, RefundDue)) == 1


@pytest.mark.parametrize(("received", "reason"), [(0, "no-csr"), (1, "no-csr"), (2, "not-issued")])
def test_end_names_the_csr_only_if_one_is_missing(world: World, received: int, reason: str) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(*(world.opened(renewal, position) for position in range(2)))
    world.apply(*(world.csr_received(renewal, position) for position in range(received)))
    world.pass_time(timedelta(days=90))
    world.apply(world.withheld(renewal))
    assert world.announced(renewal.id, RenewalCancelled)[0].reason == reason
    assert world.shown(renewal)["ending"] == reason


def test_csr_deadline_is_extended_if_an_intent_exists(world: World) -> None:
    renewal = world.paid()
    world.pass_time(timedelta(days=90))
    world.apply(world.declined(renewal))
    assert world.shown(renewal)["deadline"] == (world.now + timedelta(days=90)).isoformat()


def test_renewal_never_released_from_hold_ends_with_a_refund(world: World) -> None:
    renewal = world.submitted()
    world.change_subscription(WWW, ar_id="ar-new")
    world.apply(world.captured(renewal))
    world.pass_time(timedelta(days=30))
    world.apply(world.withheld(renewal))
    assert world.announced(renewal.id, RenewalCancelled)[0].reason == "not-released"
    assert len(world.announced(renewal.id, RefundDue)) == 1


@pytest.mark.parametrize("waiting_for", ["checkout", "expiry", "tombstone"])
def test_missing_answer_is_requested_again_every_day(world: World, waiting_for: str) -> None:
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
        assert len(world.announced(renewal.id, asked)) == times
    assert world.state(renewal) == state
    assert world.audited(str(renewal.id)).count("answer-overdue") == 2
