"""Ends of single items, and refunds of those that are refused."""

import uuid
from datetime import UTC, datetime

import pytest

from shared.events.application import (
    RefundDue,
    RenewalCancelled,
    RenewalCompleted,
)
from shared.events.issuance import CertificateRevoked
from tests.integration.services.application.world import WILDCARD, WWW, World, body
from tests.support.builders import NOW


def test_refused_item_is_refunded_and_the_others_continue(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.opened(renewal, 0), world.opened(renewal, 1), world.refused(renewal, 0))
    (refund,) = world.announced(renewal.id, RefundDue)
    assert (refund.item_id, refund.amount_minor, refund.cause) == (renewal.item_id(0), 250_000, "caa-forbids")
    assert world.state(renewal) == "awaiting-csrs"
    world.apply(world.csr_received(renewal, 1), world.issued(renewal, 1))
    (end,) = world.announced(renewal.id, RenewalCompleted)
    assert (end.issued, end.refused) == ((renewal.item_id(1),), (renewal.item_id(0),))
    assert world.shown(renewal)["ending"] is None


def test_item_refused_before_its_order_is_refunded(world: World) -> None:
    renewal = world.paid()
    world.apply(world.refused(renewal))
    assert world.item_states(renewal) == ["refused"]
    assert len(world.announced(renewal.id, RefundDue)) == 1


def test_repeated_refusal_is_refunded_once(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal), world.refused(renewal))
    assert len(world.announced(renewal.id, RefundDue)) == 1


def test_refusal_of_all_items_ends_the_renewal_fully_refunded(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal, 0), world.refused(renewal, 1))
    assert world.state(renewal) == "refused"
    assert sum(refund.amount_minor for refund in world.announced(renewal.id, RefundDue)) == renewal.amount_minor
    assert world.announced(renewal.id, RenewalCancelled)[0].reason == "refused"
    assert world.announced(renewal.id, RenewalCompleted) == []


def test_refunds_of_items_and_rest_sum_up_to_the_capture(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal, 0))
    world.cancel(renewal)
    world.apply(world.withheld(renewal))
    amounts = [refund.amount_minor for refund in world.announced(renewal.id, RefundDue)]
    assert amounts == [250_000, renewal.amount_minor - 250_000]
    assert world.item_states(renewal) == ["refused", "withheld"]


def test_refusal_of_all_items_while_withholding_leaves_no_further_refund(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.cancel(renewal)
    world.apply(world.refused(renewal, 0), world.refused(renewal, 1), world.withheld(renewal))
    assert world.state(renewal) == "cancelled"
    assert sum(refund.amount_minor for refund in world.announced(renewal.id, RefundDue)) == renewal.amount_minor
    world.apply(world.captured(renewal))
    assert sum(refund.amount_minor for refund in world.announced(renewal.id, RefundDue)) == renewal.amount_minor


def test_certificate_for_a_refunded_item_is_held(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal, 0), world.issued(renewal, 0))
    assert world.held(renewal.id) == ["contradiction"]
    assert world.item_states(renewal) == ["refused", "pending"]


def test_refusal_of_an_issued_item_is_held_and_not_refunded(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.issued(renewal, 0), world.refused(renewal, 0))
    assert world.held(renewal.id) == ["contradiction"]
    assert world.announced(renewal.id, RefundDue) == []


def test_csr_after_a_discarded_one_is_shown(world: World) -> None:
    renewal = world.paid()
    world.apply(world.opened(renewal), world.csr_received(renewal), world.csr_received(renewal))
    assert world.course(renewal).count("csr-received") == 2
    assert world.item_states(renewal) == ["csr-received"]


def test_issued_certificate_renews_its_subscription(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    world.apply(issued)
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert (shown["serial"], shown["reason"]) == (issued.serial, "too-early")
    assert (shown["paid_from"], shown["paid_until"]) == ("2027-01-08", "2028-01-07"), "the year after the one paid for"
    assert shown["opens_on"] == "2027-10-09"
    assert shown["not_after"] == issued.not_after.isoformat()


def test_new_certificate_is_active_even_if_the_old_one_was_revoked(world: World) -> None:
    renewal = world.paid()
    world.change_subscription(WWW, standing="revoked")
    world.apply(world.issued(renewal))
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] == "too-early"


def test_revoked_new_certificate_cannot_be_renewed_online(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    revoked = CertificateRevoked(
        renewal_id=renewal.id,
        item_id=issued.item_id,
        serial=issued.serial,
        reason="keyCompromise",
        revoked_at=NOW,
    )
    world.apply(issued, revoked)
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] == "revoked"
    assert world.item_states(renewal) == ["issued"]


def test_revocation_of_a_replaced_certificate_leaves_the_subscription_alone(world: World) -> None:
    first = world.paid()
    old = world.issued(first)
    world.apply(old)
    world.now = datetime(2027, 10, 9, 12, tzinfo=UTC)
    second = world.paid()
    world.apply(world.issued(second))
    world.apply(
        CertificateRevoked(
            renewal_id=first.id, item_id=old.item_id, serial=old.serial, reason="superseded", revoked_at=NOW
        )
    )
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] == "too-early"


def test_revoked_certificate_that_nobody_got_changes_nothing(world: World) -> None:
    renewal = world.paid()
    issued = world.issued(renewal)
    world.apply(issued)
    timeline = world.shown(renewal)["timeline"]
    world.apply(
        CertificateRevoked(
            renewal_id=renewal.id,
            item_id=issued.item_id,
            serial="1f2e3d",
            reason="unspecified",
            revoked_at=NOW,
            certificate=issued.certificate,
        )
    )
    assert world.shown(renewal)["timeline"] == timeline
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == WWW]
    assert shown["reason"] == "too-early"


# Refunds


def test_refund_is_settled_in_every_state_of_the_renewal(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal, 0))
    (due,) = world.announced(renewal.id, RefundDue)
    world.apply(world.refunded(renewal, due.refund_id, due.amount_minor))
    (shown,) = world.shown(renewal)["refunds"]
    assert shown == {
        "id": str(due.refund_id),
        "item_id": str(renewal.item_id(0)),
        "amount_minor": 250_000,
        "refunded_at": NOW.isoformat(),
    }
    world.apply(world.refunded(renewal, due.refund_id, due.amount_minor))
    assert world.ignored(renewal) == ["refund is settled"]
    assert world.course(renewal).count("refunded") == 1


def test_unrequested_refund_is_held(world: World) -> None:
    renewal = world.paid()
    world.apply(world.refunded(renewal, uuid.uuid4(), 250_000))
    assert world.held(renewal.id) == ["refund-not-found"]


def test_refund_of_another_amount_is_held(world: World) -> None:
    renewal = world.paid()
    world.apply(world.refused(renewal))
    (due,) = world.announced(renewal.id, RefundDue)
    world.apply(world.refunded(renewal, due.refund_id, due.amount_minor - 1))
    assert world.held(renewal.id) == ["wrong-amount"]
    assert world.shown(renewal)["refunds"][0]["refunded_at"] is None


@pytest.mark.parametrize("answer", ["withheld", "declined"])
@pytest.mark.parametrize("refused", [(), (0,), (0, 1)])
@pytest.mark.parametrize("cancels", ["first", "last"])
def test_cancelled_renewal_is_refunded_whatever_issuance_refused(
    world: World, cancels: str, refused: tuple[int, ...], answer: str
) -> None:
    """Items may be refused when their orders open, before or after the AR cancels."""
    renewal = world.paid(WWW, WILDCARD)
    if cancels == "first":
        world.cancel(renewal)
    world.apply(*[world.refused(renewal, position) for position in refused])
    if cancels == "last" and len(refused) < 2:
        world.cancel(renewal)
    if answer == "declined":
        rest = [position for position in (0, 1) if position not in refused]
        world.apply(world.declined(renewal), *[world.refused(renewal, position) for position in rest])
    else:
        world.apply(world.withheld(renewal))
    assert world.state(renewal) in {"cancelled", "refused"}
    assert sum(refund.amount_minor for refund in world.announced(renewal.id, RefundDue)) == renewal.amount_minor
    assert world.held(renewal.id) == []
