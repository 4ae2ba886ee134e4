"""Money that went back before application's database was restored: the answer may come before the question."""

import uuid

from shared.effect_ids import effect_id
from shared.events.application import RefundDue
from tests.integration.services.application.world import WILDCARD, WWW, World


def test_refund_made_before_the_restore_is_recognised_and_not_requested_again(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    item, rest = (
        effect_id("refund", renewal.id, renewal.item_id(0), "refused"),
        effect_id("refund", renewal.id, None, "cancelled"),
    )
    world.apply(world.refunded(renewal, item, 250_000), world.refunded(renewal, rest, renewal.amount_minor - 250_000))
    assert world.held(renewal.id) == []
    world.apply(world.refused(renewal, 0), world.withheld(renewal))
    assert world.announced(renewal.id, RefundDue) == []
    assert [refund["refunded_at"] is not None for refund in world.shown(renewal)["refunds"]] == [True, True]


def test_refund_ids_are_the_same_at_every_request(world: World) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(world.refused(renewal, 0), world.withheld(renewal))
    assert [event.refund_id for event in world.announced(renewal.id, RefundDue)] == [
        effect_id("refund", renewal.id, renewal.item_id(0), "refused"),
        effect_id("refund", renewal.id, None, "cancelled"),
    ]


def test_refund_with_an_underivable_id_is_held(world: World) -> None:
    renewal = world.paid()
    world.apply(world.refunded(renewal, uuid.uuid4(), 250_000))
    assert world.held(renewal.id) == ["refund-not-found"]


def test_refund_above_the_capture_is_held(world: World) -> None:
    renewal = world.paid()
    refund_id = effect_id("refund", renewal.id, None, "cancelled")
    world.apply(world.refunded(renewal, refund_id, renewal.amount_minor + 1))
    assert world.held(renewal.id) == ["wrong-amount"]
