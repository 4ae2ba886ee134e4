"""Change of an AR in identity's register: the AR of record moves by one event, and open renewals keep their signer."""

from dataclasses import replace
from pathlib import Path

from shared.events.identity import AuthorisedRepresentativeReplaced
from shared.vocabulary import ARId, SubscriberId
from tests.integration.services.application.world import MULTI, ROWS, WILDCARD, WWW, World
from tests.support.builders import AR, NOW

OLD = AR()
REPLACED = AuthorisedRepresentativeReplaced(
    subscriber_id=SubscriberId(OLD.subscriber_id),
    ar_id=ARId(OLD.id),
    successor_id=ARId("AR-NEXT"),
    successor_name="HO Chi Wai",
    replaced_at=NOW,
)


def of_record(world: World) -> dict[str, tuple[str, str]]:
    rows = world.rows("SELECT srn, ar_id, ar_name FROM subscriptions")
    return {srn: (ar_id, name) for srn, ar_id, name in rows}


def test_successor_becomes_ar_of_record_of_the_predecessors_subscriptions_alone(world: World, tmp_path: Path) -> None:
    world.enrol([ROWS[2] | {"ar_id": "AR-THIRD", "ar_name": "LAU Siu Ming"}], tmp_path)
    world.apply(REPLACED)
    assert of_record(world) == {
        WWW: ("AR-NEXT", "HO Chi Wai"),
        WILDCARD: ("AR-NEXT", "HO Chi Wai"),
        MULTI: ("AR-THIRD", "LAU Siu Ming"),
    }
    assert len(world.rows("SELECT * FROM audit_log WHERE action = 'subscription-moved-to-successor'")) == 2


def test_replacement_of_another_subscribers_ar_moves_nothing(world: World) -> None:
    before = of_record(world)
    world.apply(replace(REPLACED, subscriber_id=SubscriberId("SUB-OTHER")))
    assert of_record(world) == before


def test_replacements_are_applied_in_order_and_once(world: World) -> None:
    second = replace(REPLACED, ar_id=ARId("AR-NEXT"), successor_id=ARId("AR-LAST"), successor_name="NG Ka Yan")
    first, then = world.publisher.record(REPLACED), world.publisher.record(second)
    world.apply_records(then)
    assert of_record(world)[WWW][0] == OLD.id
    world.apply_records(first, then, first)
    assert {owner for owner, _ in of_record(world).values()} == {"AR-LAST"}


def test_renewal_paid_after_the_replacement_goes_on_hold(world: World) -> None:
    paid, renewal = world.paid(WILDCARD), world.submitted(WWW)
    world.apply(REPLACED, world.captured(renewal))
    assert (world.state(renewal), world.state(paid)) == ("on-hold", "awaiting-csrs")
