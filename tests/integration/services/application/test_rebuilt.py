"""Rebuild of lost renewals: after a restore, `recall` rebuilds them from application's own events."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from services.application import rebuilding
from shared.events.application import CancellationRequested, RenewalCancelled, RenewalSubmitted
from shared.events.base import Envelope, Event
from shared.messaging import codec
from shared.messaging.outbox_recovery import RecoveryUnfinished, require_ended
from tests.integration.services.application.restorable import Change, Restorable, everything
from tests.integration.services.application.world import MULTI, WILDCARD, WWW, Renewal, World, body
from tests.support import builders
from tests.support.engines import Database
from tests.support.problems import slug
from tests.support.recalling import bring_back, travelled

OTHER: Final = "0002310004"
Course = Callable[[World, Renewal], None]


@pytest.fixture
def lost(world: World, application_database: Database) -> Restorable:
    return Restorable(world, application_database)


def deliver(world: World, *events: Event) -> None:
    """Deliver each event at a different time."""
    for event in events:
        world.now += timedelta(seconds=1)
        world.apply(event)


def pay(world: World, renewal: Renewal) -> None:
    deliver(world, world.captured(renewal))


def open_orders(world: World, renewal: Renewal) -> None:
    pay(world, renewal)
    deliver(world, *(world.opened(renewal, n) for n in range(len(renewal.items))))


def receive_csrs(world: World, renewal: Renewal) -> None:
    open_orders(world, renewal)
    deliver(world, *(world.csr_received(renewal, n) for n in range(len(renewal.items))))


def delay(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    deliver(
        world,
        world.delayed(renewal, "record-missing"),
        world.delayed(renewal, "another-value", "perspective-busy"),
        world.delayed(renewal, "dns-timeout", position=1),
    )


def delay_and_issue(world: World, renewal: Renewal) -> None:
    delay(world, renewal)
    deliver(world, *(world.issued(renewal, n) for n in range(len(renewal.items))))


def delay_and_cancel(world: World, renewal: Renewal) -> None:
    delay(world, renewal)
    cancel(world, renewal)
    deliver(world, world.withheld(renewal))
    refund_all(world, renewal)


def issue(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    deliver(world, *(world.issued(renewal, n) for n in range(len(renewal.items))))


def refuse_one(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    deliver(world, world.refused(renewal, 0), world.issued(renewal, 1))
    refund_all(world, renewal)


def refuse_one_and_cancel(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    deliver(world, world.refused(renewal, 0))
    cancel(world, renewal)
    deliver(world, world.withheld(renewal))


def refuse_all(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    deliver(world, world.refused(renewal, 0), world.refused(renewal, 1))
    refund_all(world, renewal)


def cancel(world: World, renewal: Renewal) -> None:
    world.now += timedelta(seconds=1)
    assert world.cancel(renewal).status_code == 202


def cancel_unpaid(world: World, renewal: Renewal) -> None:
    cancel(world, renewal)
    deliver(world, world.expired(renewal), world.withheld(renewal))


def cancel_paid(world: World, renewal: Renewal) -> None:
    open_orders(world, renewal)
    cancel(world, renewal)
    deliver(world, world.withheld(renewal))
    refund_all(world, renewal)


def cancel_too_late(world: World, renewal: Renewal) -> None:
    receive_csrs(world, renewal)
    cancel(world, renewal)
    deliver(world, world.declined(renewal), *(world.issued(renewal, n) for n in range(2)))


def cancel_amid_the_payment(world: World, renewal: Renewal) -> None:
    cancel(world, renewal)
    pay(world, renewal)


def let_payment_expire(world: World, renewal: Renewal) -> None:
    world.pass_time(timedelta(days=14))
    deliver(world, world.expired(renewal))


def pay_late(world: World, renewal: Renewal) -> None:
    let_payment_expire(world, renewal)
    pay(world, renewal)
    refund_all(world, renewal)


def let_csrs_expire(world: World, renewal: Renewal) -> None:
    open_orders(world, renewal)
    world.pass_time(timedelta(days=90))


def refund_all(world: World, renewal: Renewal) -> None:
    for refund in world.shown(renewal)["refunds"]:
        deliver(world, world.refunded(renewal, refund["id"], refund["amount_minor"]))


def replace_ar(world: World, renewal: Renewal) -> None:
    world.change_subscription(WWW, ar_id="ar-another")
    pay(world, renewal)


COURSES: Final[Sequence[Course]] = (
    lambda world, renewal: None,
    pay,
    open_orders,
    receive_csrs,
    delay,
    delay_and_issue,
    delay_and_cancel,
    issue,
    refuse_one,
    refuse_one_and_cancel,
    refuse_all,
    cancel,
    cancel_unpaid,
    cancel_paid,
    cancel_too_late,
    cancel_amid_the_payment,
)
# Time passes for all renewals of a database: each of these has one of its own.
DEADLINES: Final[Sequence[Course]] = (let_payment_expire, pay_late, let_csrs_expire)
each_group = pytest.mark.parametrize(
    "courses", [COURSES, *([each] for each in DEADLINES)], ids=["any", *(each.__name__ for each in DEADLINES)]
)


def subscriptions(courses: Sequence[Course]) -> list[tuple[str, str]]:
    """Return two subscriptions for each course."""
    return [(f"00023200{n:02}", f"00023300{n:02}") for n in range(len(courses))]


def shown_to_ar(world: World, renewal: Renewal) -> dict[str, Any]:
    """Return the AR's view, without the steps that change nothing once the renewal has ended."""
    shown = world.shown(renewal)
    after_the_end = {"order-opened", "csr-received", "issuance-delayed"}
    missed = {"cancellation-declined"} | (after_the_end if shown["state"] == "cancelled" else set())
    steps = [step for step in shown.pop("timeline") if step["event"] not in missed]
    return shown | {"steps": sorted(steps, key=lambda step: (step["time"], step["event"], str(step["item_id"])))}


@each_group
@pytest.mark.parametrize("kept", ["nothing", "the draft", "the submission"])
def test_rebuilt_renewal_has_the_state_before_the_loss(
    world: World, application_database: Database, tmp_path: Path, courses: Sequence[Course], kept: str
) -> None:
    srns = subscriptions(courses)
    world.enrol([builders.subscription_row(srn) for pair in srns for srn in pair], tmp_path)
    lost = Restorable(world, application_database)
    renewals = [world.draft(*pair) for pair in srns]
    if kept == "the draft":
        lost.take()
    assert {world.submit(renewal).status_code for renewal in renewals} == {200}
    if kept == "the submission":
        lost.take()
    for course, renewal in zip(courses, renewals, strict=True):
        course(world, renewal)
    before, shown = everything(world), [shown_to_ar(world, renewal) for renewal in renewals]
    assert lost.restore().not_put_back == []
    lost.read_again()
    assert everything(world) == before
    assert [shown_to_ar(world, renewal) for renewal in renewals] == shown


def test_state_is_rebuilt_before_events_are_read_again(world: World, lost: Restorable) -> None:
    renewal = world.submitted(WWW, WILDCARD)
    cancel_paid(world, renewal)
    lost.restore()
    shown = world.shown(renewal)
    assert (shown["state"], shown["ending"]) == ("cancelled", "cancelled")
    assert [item["state"] for item in shown["items"]] == ["withheld", "withheld"]
    assert world.audited(str(renewal.id)) == ["renewal-rebuilt"]


def test_rebuilt_renewal_continues_and_announces_events(world: World, lost: Restorable) -> None:
    renewal = world.submitted()
    lost.restore()
    issue(world, renewal)
    assert world.state(renewal) == "completed"
    assert world.names(renewal) == ["RenewalSubmitted", "CSRRequested", "RenewalCompleted"]


def test_deadlines_of_a_rebuilt_renewal_are_kept(world: World, lost: Restorable) -> None:
    renewal = world.paid()
    lost.restore()
    world.pass_time(timedelta(days=89))
    assert world.state(renewal) == "awaiting-csrs"
    world.pass_time(timedelta(days=1))
    assert world.state(renewal) == "withholding"
    assert world.announced(renewal.id, CancellationRequested)[0].reason == "no-csr"


def test_deadline_with_every_csr_is_rebuilt_as_a_deadline(world: World, lost: Restorable) -> None:
    renewal = world.paid()
    world.apply(world.opened(renewal), world.csr_received(renewal))
    lost.take()
    world.pass_time(timedelta(days=90))
    lost.restore()
    assert (world.shown(renewal)["ending"], world.course(renewal)[-1]) == ("not-issued", "csr-deadline")


def test_renewal_on_hold_is_rebuilt_on_hold(world: World, lost: Restorable) -> None:
    renewal = world.submitted()
    replace_ar(world, renewal)
    assert world.state(renewal) == "on-hold"
    lost.restore()
    world.change_subscription(WWW, ar_id="ar-another")
    lost.read_again()
    assert world.state(renewal) == "on-hold"


def test_subscription_renewed_again_since_the_backup_belongs_to_the_second_renewal(
    world: World, lost: Restorable
) -> None:
    first = world.submitted()
    lost.take()
    cancel_unpaid(world, first)
    second = world.submitted()
    before = everything(world)
    assert lost.restore().not_put_back == []
    lost.read_again()
    assert everything(world) == before
    assert [world.state(each) for each in (first, second)] == ["cancelled", "awaiting-payment"]


def test_lost_submission_gets_the_same_answer_after_the_rebuild(world: World, lost: Restorable) -> None:
    renewal = world.draft()
    attestation = world.ar.attestation(renewal.id, renewal.document, world.now)
    first = world.submit(renewal, attestation=attestation, key="the-same-key")
    lost.restore()
    again = world.submit(renewal, attestation=attestation, key="the-same-key")
    assert (again.status_code, body(again)) == (200, body(first))
    assert slug(world.submit(renewal)) == "not-in-this-state"


# Events of earlier code, and those that do not fit


def changed(**values: Any) -> Change:
    """Return submissions with other values."""

    def change(envelope: Envelope) -> Envelope:
        if envelope.type != RenewalSubmitted.TYPE:
            return envelope
        event = codec.decode_data(envelope.data, RenewalSubmitted)
        return replace(envelope, data=codec.encode_data(replace(event, **values)))

    return change


def without(kind: type[Event]) -> Change:
    """Return the events but for those of a type."""
    return lambda envelope: None if envelope.type == kind.TYPE else envelope


EARLIER: Final = changed(document=None, attestation=None)


@pytest.mark.parametrize("course", [pay, issue, cancel_unpaid, let_payment_expire])
def test_submission_of_earlier_code_is_completed_by_a_later_event(
    world: World, lost: Restorable, course: Course
) -> None:
    renewal = world.submitted(WWW, WILDCARD)
    course(world, renewal)
    before = everything(world)
    assert lost.restore(EARLIER).not_put_back == []
    lost.read_again()
    assert everything(world) == before


def test_renewal_that_cannot_be_rebuilt_is_reported_and_delays_no_other(
    world: World, application_database: Database, tmp_path: Path
) -> None:
    world.enrol([builders.subscription_row(OTHER)], tmp_path)
    lost = Restorable(world, application_database)
    changes = {
        "no event has its document and attestation": EARLIER,
        "its document cannot be read": changed(document="{}"),
        "its submission is not among the events": without(RenewalSubmitted),
    }
    lacking = {str(world.submitted(srn).id): why for srn, why in zip((WWW, WILDCARD, MULTI), changes, strict=True)}
    for id_, why in lacking.items():
        if "submission" in why:
            world.apply(world.captured(world.known(id_)))
    whole = world.submitted(OTHER)
    found = lost.restore(lambda each: changes[lacking[each.subject]](each) if each.subject in lacking else each)
    assert sorted(found.not_put_back) == sorted(f"renewal {id_}: {why}" for id_, why in lacking.items())
    assert [slug(world.get(f"/renewals/{id_}")) for id_ in lacking] == ["renewal-not-found"] * 3
    assert world.state(whole) == "awaiting-payment"


def test_document_that_differs_from_the_submitted_one_is_refused(world: World, lost: Restorable) -> None:
    renewal = world.draft()
    lost.take()
    assert world.submit(renewal).status_code == 200
    assert lost.restore(changed(document_sha256="00" * 32)).not_put_back == [
        f"renewal {renewal.id}: its document is not the one that was submitted"
    ]
    assert world.state(renewal) == "draft"


def test_renewal_of_an_unknown_subscription_is_reported(world: World, lost: Restorable) -> None:
    with world.pool.connection() as conn:
        conn.execute("UPDATE subscriptions SET srn = '0002310009' WHERE srn = %s", (WWW,))
    lost.take()
    with world.pool.connection() as conn:
        conn.execute("UPDATE subscriptions SET srn = %s WHERE srn = '0002310009'", (WWW,))
    renewal = world.submitted()
    (line,) = lost.restore().not_put_back
    assert line == f"renewal {renewal.id}: the register lacks one of its subscriptions"


def test_second_open_renewal_of_a_subscription_is_not_rebuilt(world: World, lost: Restorable) -> None:
    first = world.submitted()
    lost.take()
    cancel_unpaid(world, first)
    second = world.submitted()
    (line,) = lost.restore(without(RenewalCancelled)).not_put_back
    assert line == f"renewal {second.id}: another open renewal has one of its subscriptions"


# Broken off


def test_interrupted_rebuild_is_resumed(world: World, lost: Restorable, monkeypatch: pytest.MonkeyPatch) -> None:
    renewals = [world.submitted(srn) for srn in (WWW, WILDCARD, MULTI)]
    for renewal in renewals:
        cancel_paid(world, renewal)
    before, announced = everything(world), travelled(world.pool)
    monkeypatch.setattr(rebuilding, "PAGE", 1)
    whole, rebuilt = rebuilding.draft, 0

    def broken_off(*given: Any) -> Any:
        nonlocal rebuilt
        rebuilt += 1
        if rebuilt == 3:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(rebuilding, "draft", broken_off)
    with pytest.raises(KeyboardInterrupt):
        lost.restore()
    assert len(world.rows("SELECT id FROM renewals")) == 2
    with pytest.raises(RecoveryUnfinished):
        require_ended(world.pool)
    bring_back(world.pool, announced, then=rebuilding.rebuild)
    require_ended(world.pool)
    lost.read_again()
    assert everything(world) == before
    assert [world.audited(str(each.id)).count("renewal-rebuilt") for each in renewals] == [1, 1, 1]
