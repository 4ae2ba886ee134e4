"""Reissues: another certificate within the paid period, signed for like a renewal, and not paid for."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.application.domain import RenewalState
from shared.events.application import CSRRequested, RenewalCompleted, RenewalSubmitted
from shared.events.payment import PaymentCaptured
from shared.security.tokens import TokenKind, verify
from tests.integration.services.application.restorable import Restorable, everything
from tests.integration.services.application.world import WILDCARD, WWW, Renewal, World, body
from tests.support import builders
from tests.support.builders import NOW
from tests.support.engines import Database
from tests.support.problems import full_problem, problem


def draft(world: World, *srns: str, **more: Any) -> Renewal:
    answer = world.post("/renewals", {"kind": "reissue", "items": [{"srn": srn, **more} for srn in srns or (WWW,)]})
    assert answer.status_code == 201, answer.text
    return world.known(body(answer)["id"])


def refusal(world: World, srn: str = WWW, **more: Any) -> tuple[Any, ...]:
    answer = world.post("/renewals", {"kind": "reissue", "items": [{"srn": srn, **more}]})
    return full_problem(answer) if answer.json and "reason" in answer.json else problem(answer)


def subscription(world: World, srn: str = WWW) -> dict[str, Any]:
    (found,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == srn]
    return dict(found)


def test_document_names_the_period_that_is_paid_for_and_no_fee(world: World) -> None:
    document = body(world.get(f"/renewals/{draft(world).id}/document"))
    assert document["purpose"] == "hk.ecert.reissue-application.v1"
    assert document["fee"] == {"amount_minor": 0, "currency": "HKD"}
    (item,) = document["items"]
    assert (item["amount_minor"], item["paid_from"], item["paid_until"]) == (0, "2026-01-08", "2027-01-07")


def test_submission_asks_for_the_csrs_at_once_with_an_entitlement(world: World) -> None:
    reissue = draft(world, WWW, WILDCARD)
    shown = body(world.submit(reissue))
    assert (shown["kind"], shown["state"], shown["amount_minor"]) == ("reissue", "awaiting-csrs", 0)
    assert shown["slack_days"] is None, "it waits for no letter"
    submitted, requested = world.announced(reissue.id)
    assert isinstance(submitted, RenewalSubmitted)
    assert submitted.amount_minor == 0
    assert isinstance(requested, CSRRequested)
    claims = verify(
        requested.receipt,
        kind=TokenKind.ENTITLEMENT,
        keys=builders.key_set("application"),
        now=NOW,
        issuer="application",
    )
    assert claims["sub"] == str(reissue.id)
    assert claims["document_sha256"] == submitted.document_sha256


def test_reissue_replaces_the_certificate_and_leaves_the_period_alone(world: World) -> None:
    reissue = draft(world)
    world.submit(reissue)
    issued = world.issued(reissue)
    world.apply(issued)
    assert isinstance(world.announced(reissue.id)[-1], RenewalCompleted)
    assert world.state(reissue) == "completed"
    after = subscription(world)
    assert (after["serial"], after["paid_from"], after["paid_until"]) == (issued.serial, "2026-01-08", "2027-01-07")
    assert after["reason"] is None, "the next year can be bought as before"


def test_it_is_free_at_any_time_of_the_period(world: World) -> None:
    world.change_subscription(WWW, paid_until=date(2027, 11, 22))
    assert subscription(world)["reason"] == "too-early"
    assert subscription(world)["reissue_reason"] is None
    for _ in range(3):
        reissue = draft(world)
        world.submit(reissue)
        world.apply(world.issued(reissue))
    assert world.shown(reissue)["refunds"] == []


@pytest.mark.parametrize(
    "changes", [{"standing": "revoked"}, {"not_after": NOW - timedelta(days=1)}], ids=["revoked", "ended"]
)
def test_lost_certificate_is_replaced_within_the_period(world: World, changes: dict[str, Any]) -> None:
    world.change_subscription(WWW, **changes)
    reissue = draft(world)
    assert world.submit(reissue).status_code == 200
    world.apply(world.issued(reissue))
    assert subscription(world)["reason"] is None


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("expired", {"paid_until": date(2026, 11, 22)}),
        ("suspended", {"standing": "suspended"}),
        ("ar-changed", {"ar_id": "ar-wong"}),
        ("names-not-certifiable", {"server_names": ["*.com.hk"]}),
        ("record-unusable", {"subscriber_name": "N/A"}),
        ("unknown", {"subscriber_id": "sub-other"}),
    ],
)
def test_ineligible_subscription_is_refused_at_draft_and_submission(
    world: World, reason: str, changes: dict[str, Any]
) -> None:
    before = draft(world)
    world.change_subscription(WWW, **changes)
    assert refusal(world) == (409, "not-eligible", reason)
    assert full_problem(world.submit(before)) == (409, "not-eligible", reason)
    if reason != "unknown":
        assert subscription(world)["reissue_reason"] == reason


def test_renewal_under_way_comes_first(world: World) -> None:
    world.submitted(WWW)
    assert refusal(world) == (409, "not-eligible", "being-renewed")


def test_draft_of_another_period_is_out_of_date(world: World) -> None:
    reissue = draft(world)
    world.change_subscription(WWW, paid_until=date(2027, 1, 8))
    assert problem(world.submit(reissue)) == (409, "document-too-old")


def test_additional_servers_are_changed_by_a_renewal_only(world: World) -> None:
    assert refusal(world, WILDCARD, additional_servers=2) == (409, "no-additional-servers")
    draft(world, WILDCARD, additional_servers=1)


def test_stray_payment_of_a_reissue_is_held_for_a_person(world: World) -> None:
    reissue = draft(world)
    world.submit(reissue)
    captured = builders.captured(reissue.id, reissue.document, 250_000, NOW)
    assert isinstance(captured, PaymentCaptured)
    world.apply(captured)
    assert world.state(reissue) == RenewalState.AWAITING_CSRS


def test_cancelled_reissue_has_nothing_to_refund(world: World) -> None:
    reissue = draft(world)
    world.submit(reissue)
    assert world.cancel(reissue).status_code == 202
    world.apply(world.withheld(reissue))
    assert world.state(reissue) == "cancelled"
    assert world.shown(reissue)["refunds"] == []
    assert subscription(world)["reissue_reason"] is None


@pytest.mark.parametrize("kept", ["nothing", "the draft", "the submission"])
def test_rebuilt_reissue_has_the_state_before_the_loss(world: World, application_database: Database, kept: str) -> None:
    lost = Restorable(world, application_database)
    reissue = draft(world)
    if kept == "the draft":
        lost.take()
    assert world.submit(reissue).status_code == 200
    if kept == "the submission":
        lost.take()
    world.apply(world.opened(reissue), world.csr_received(reissue))
    before, shown = everything(world), world.shown(reissue)
    assert lost.restore().not_put_back == []
    lost.read_again()
    assert (everything(world), world.shown(reissue)) == (before, shown)
    world.apply(world.issued(reissue))
    assert world.names(reissue) == ["RenewalSubmitted", "CSRRequested", "RenewalCompleted"]
