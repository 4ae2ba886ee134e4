"""A cancellation ends whatever issuance knows of the renewal, and whatever waits before it."""

from datetime import timedelta
from uuid import UUID

import pytest

from services.issuance import handlers, waiting_cancellations
from shared.errors import Ignored
from shared.events.application import CancellationRequested
from shared.messaging.inbox import CONFLICT, Place
from shared.operators import held_commands
from shared.runtime.service import applier
from tests.integration.services.issuance.world import Renewal, World, items


def answers(world: World, renewal: Renewal) -> list[str]:
    return [
        name
        for name in world.announced_types(renewal.renewal_id)
        if name in {"issuance-withheld", "cancellation-declined"}
    ]


def cancelled_behind_a_held_event(world: World) -> Renewal:
    renewal = Renewal(items=items(["www.example.hk"]))
    forged = world.request(renewal)
    forged = type(forged)(**vars(forged) | {"receipt": world.receipt(renewal, signer="stranger")})
    world.apply(forged, CancellationRequested(renewal_id=renewal.renewal_id))
    assert answers(world, renewal) == []
    return renewal


def test_cancellation_behind_a_held_event_is_answered_after_a_minute(world: World) -> None:
    renewal = cancelled_behind_a_held_event(world)
    assert not waiting_cancellations.answer_next(world.pool, clock=world.clock)
    world.now += timedelta(minutes=1)
    assert waiting_cancellations.answer_next(world.pool, clock=world.clock)
    assert not waiting_cancellations.answer_next(world.pool, clock=world.clock)
    assert answers(world, renewal) == ["issuance-withheld"]


def test_events_that_are_redriven_after_the_answer_open_no_order_and_get_the_same_answer(world: World) -> None:
    renewal = cancelled_behind_a_held_event(world)
    world.now += timedelta(minutes=1)
    assert waiting_cancellations.answer_next(world.pool, clock=world.clock)
    with world.begin() as tx, pytest.raises(Ignored, match="withheld"):
        handlers.on_csr_requested(tx, world.request(renewal), keys=world.keys)
    cancellations = [one for one in handlers.subscriptions(keys=world.keys) if one.event_type is CancellationRequested]
    cancelling = applier("issuance", cancellations, clock=world.clock)
    place = Place(consumer="issuance", topic=CancellationRequested.TOPIC, key=str(renewal.renewal_id))
    held_commands.redrive(world.pool, cancelling, place, actor="operator-7")
    assert answers(world, renewal) == ["issuance-withheld", "issuance-withheld"]
    assert world.rows("SELECT count(*) FROM orders") == [(0,)]


def test_cancellation_behind_a_conflict_waits_for_an_operator(world: World) -> None:
    renewal = cancelled_behind_a_held_event(world)
    world.now += timedelta(minutes=1)
    with world.begin() as tx:
        tx.conn.execute("UPDATE inbox SET held_reason = %s", (CONFLICT,))
    assert not waiting_cancellations.answer_next(world.pool, clock=world.clock)
    assert answers(world, renewal) == []


def test_key_that_is_no_renewal_is_skipped(world: World) -> None:
    renewal = cancelled_behind_a_held_event(world)
    world.now += timedelta(minutes=1)
    with world.begin() as tx:
        tx.conn.execute("UPDATE parked_events SET key = 'nonsense'")
        tx.conn.execute("UPDATE inbox SET key = 'nonsense'")
    assert not waiting_cancellations.answer_next(world.pool, clock=world.clock)
    assert isinstance(renewal.renewal_id, UUID)


@pytest.mark.parametrize("knows", ["nothing", "its orders", "its CSR", "a refused item"])
def test_cancellation_is_answered_in_every_state_of_the_renewal(world: World, knows: str) -> None:
    names = ["www.example.hk"]
    renewal = Renewal(items=items(names)) if knows == "nothing" else world.opened(names)
    if knows == "its CSR":
        world.submit(renewal)
    if knows == "a refused item":
        with world.begin() as tx:
            tx.conn.execute("UPDATE orders SET state = 'refused', refusal = 'x'")
    world.cancel(renewal)
    assert answers(world, renewal) == ["issuance-withheld"]
