"""A PIN Envelope that is no good any more: its PIN is void at once, said in events, and another one is made."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from services.issuance.pin_reissue import VoidReason
from services.issuance.refusals import InvalidTransition, OrderNotFound, PINLocked, PINWrong
from tests.integration.services.issuance.test_pins import guess
from tests.integration.services.issuance.world import Renewal, World

NAME = "www.example.hk"


def announced_data(world: World, renewal: Renewal, *kinds: str) -> list[dict[str, Any]]:
    """Return the data of these events, oldest first."""
    types = [f"hk.ecert.issuance.{kind}.v1" for kind in kinds]
    query = "SELECT data FROM outbox WHERE key = %s AND type = ANY(%s) ORDER BY id"
    return [json.loads(data) for (data,) in world.rows(query, str(renewal.renewal_id), types)]


def envelopes(world: World) -> list[tuple[str, str]]:
    rows = world.rows("SELECT envelope_id, state FROM pins ORDER BY planned_at, state DESC")
    return [(str(envelope_id), state) for envelope_id, state in rows]


def test_void_and_reissue_are_announced_and_the_new_envelope_names_the_old_one(world: World) -> None:
    renewal = world.opened([NAME])
    [(old, _)] = envelopes(world)
    world.now += timedelta(days=3)
    new = str(world.reissue(renewal, reason=VoidReason.RETURNED))
    assert envelopes(world) == [(old, "void"), (new, "planned")]
    assert world.seal()

    about = {"renewal_id": str(renewal.renewal_id), "item_id": str(renewal.items[0].item_id), "server_name": NAME}
    assert announced_data(world, renewal, "pin-voided") == [about | {"envelope_id": old, "reason": "returned"}]
    assert announced_data(world, renewal, "pin-reissued") == [about | {"envelope_id": new, "replaces": old}]
    first, second = announced_data(world, renewal, "pin-envelope-sealed")
    assert (first["envelope_id"], "replaces" in first) == (old, False)
    assert (second["envelope_id"], second["replaces"]) == (new, old)
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "pin-voided", "pin-reissued"]


def test_old_pin_is_refused_and_the_new_one_accepted(world: World) -> None:
    renewal = world.opened([NAME])
    old = world.letters(renewal)
    world.reissue(renewal)
    world.seal()
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=old)
    world.submit(renewal)
    assert world.announced_types(renewal.renewal_id)[-1] == "csr-received"


def test_replacement_of_a_locked_pin_has_five_attempts(world: World) -> None:
    renewal = world.opened([NAME])
    for _ in range(5):
        with pytest.raises(PINWrong):
            world.submit(renewal, pins={NAME: guess()})
    with pytest.raises(PINLocked):
        world.submit(renewal)
    world.reissue(renewal, reason=VoidReason.LOCKED)
    world.seal()
    with pytest.raises(PINWrong) as refused:
        world.submit(renewal, pins={NAME: guess()})
    assert refused.value.extensions["wrong"][0]["tries_left"] == 4
    world.submit(renewal)


def test_replacement_names_no_letter_that_was_never_sealed(world: World) -> None:
    renewal = world.opened([NAME])
    [(first, _)] = envelopes(world)
    world.now += timedelta(minutes=1)
    world.reissue(renewal)
    world.now += timedelta(minutes=1)
    world.reissue(renewal)
    while world.seal():
        pass
    sealed = announced_data(world, renewal, "pin-envelope-sealed")
    assert [each.get("replaces") for each in sealed] == [None, first]
    world.submit(renewal)


def test_order_is_found_by_reference_and_typed_server_name(world: World) -> None:
    renewal = world.opened([NAME, "b.example.hk"])
    world.reissue(renewal, NAME.upper(), order_name=f" {renewal.items[0].reference.lower().replace('-', '–')} ")
    assert [each["server_name"] for each in announced_data(world, renewal, "pin-voided")] == [NAME]
    assert world.rows("SELECT actor, details->>'reason' FROM audit_log WHERE action = 'pin-reissued'") == [
        ("operator", "lost")
    ]


@pytest.mark.parametrize(
    ("order_name", "name"),
    [
        ("R-0", NAME),
        (str(uuid.UUID(int=4)), NAME),
        ("", NAME),
        (None, "evil.example.hk"),
        (None, "no name"),
        (None, ""),
    ],
)
def test_unknown_order_or_server_name_is_refused(world: World, order_name: str | None, name: str) -> None:
    renewal = world.opened([NAME])
    fields = {} if order_name is None else {"order_name": order_name}
    with pytest.raises(OrderNotFound):
        world.reissue(renewal, name, **fields)
    assert world.announced_types(renewal.renewal_id) == ["order-opened"]


@pytest.mark.parametrize("state", ["csr-received", "issued", "withheld"])
def test_no_pin_is_made_once_no_csr_is_awaited(world: World, state: str) -> None:
    renewal = world.opened([NAME])
    if state == "withheld":
        world.cancel(renewal)
    else:
        world.submit(renewal)
    if state == "issued":
        world.issue()
    before = envelopes(world)
    with pytest.raises(InvalidTransition):
        world.reissue(renewal)
    assert envelopes(world) == before
    assert announced_data(world, renewal, "pin-voided", "pin-reissued") == []
