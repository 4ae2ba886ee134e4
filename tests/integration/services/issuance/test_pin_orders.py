"""New PIN Envelopes that the AR orders: limits, reasons, the earlier PIN void at once, and a CSR at the same time."""

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.issuance import csr_intake
from services.issuance.domain import PIN
from services.issuance.pin_reissue import VoidReason
from services.issuance.pins.pins import PINVerifier
from services.issuance.refusals import (
    InvalidTransition,
    OrderNotFound,
    PINLocked,
    PINNotLocked,
    PINNotReady,
    PINsUsedUp,
    PINTooRecent,
    PINWrong,
)
from shared.errors import Refused
from shared.vocabulary import ARId, SubscriberId
from tests.integration.services.issuance.test_pins import guess
from tests.integration.services.issuance.test_reissue import announced_data, envelopes
from tests.integration.services.issuance.world import Renewal, World

NAME = "www.example.hk"
WEEK = timedelta(days=7)


def lock(world: World, renewal: Renewal) -> None:
    for _ in range(5):
        with pytest.raises(PINWrong):
            world.submit(renewal, pins={NAME: guess()})
    with pytest.raises(PINLocked):
        world.submit(renewal)


def seal_all(world: World) -> None:
    while world.seal():
        pass


@pytest.mark.parametrize("reason", VoidReason)
def test_order_for_each_reason_voids_the_old_pin_and_the_new_one_is_accepted(world: World, reason: VoidReason) -> None:
    renewal = world.opened([NAME])
    old = world.letters(renewal)
    if reason is VoidReason.LOCKED:
        lock(world, renewal)
    if reason is VoidReason.LOST:
        world.now += WEEK
    world.order_pins(renewal, NAME.upper(), reason=reason)
    with pytest.raises(PINNotReady):
        world.submit(renewal)
    seal_all(world)
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=old)
    world.submit(renewal)
    [said] = announced_data(world, renewal, "pin-voided")
    assert said["reason"] == reason
    query = "SELECT actor, details->>'server_name', details->>'reason' FROM audit_log WHERE action = 'pin-reissued'"
    assert world.rows(query) == [("AR-1", NAME, reason.value)]


def test_names_of_one_order_are_replaced_together_or_not_at_all(world: World) -> None:
    names = ("a.example.hk", "b.example.hk", "c.example.hk")
    renewal = world.opened(names)
    world.order_pins(renewal, names[0], names[2], reason=VoidReason.EXPOSED)
    seal_all(world)
    assert [each["server_name"] for each in announced_data(world, renewal, "pin-reissued")] == [names[0], names[2]]
    world.now += timedelta(days=6)
    with pytest.raises(OrderNotFound):
        world.order_pins(renewal, names[1], "evil.example.hk", reason=VoidReason.RETURNED)
    world.now += timedelta(days=1)
    world.order_pins(renewal, names[0], reason=VoidReason.RETURNED)
    seal_all(world)
    with pytest.raises(PINTooRecent) as refused:
        world.order_pins(renewal, *names, reason=VoidReason.LOST)
    assert refused.value.extensions == {
        "too_recent": [{"server_name": names[0], "possible_from": (world.now + WEEK).isoformat()}]
    }
    assert len(announced_data(world, renewal, "pin-reissued")) == 3


@pytest.mark.parametrize("reason", [VoidReason.EXPOSED, VoidReason.LOCKED])
def test_limit_counts_every_reason_and_a_locked_pin_gives_no_endless_attempts(world: World, reason: VoidReason) -> None:
    renewal = world.opened([NAME])
    for _ in range(3):
        if reason is VoidReason.LOCKED:
            lock(world, renewal)
        world.order_pins(renewal, NAME, reason=reason)
        seal_all(world)
        world.now += timedelta(minutes=1)
    if reason is VoidReason.LOCKED:
        lock(world, renewal)
    with pytest.raises(PINsUsedUp) as refused:
        world.order_pins(renewal, NAME, reason=reason)
    assert refused.value.extensions == {"used_up": [NAME]}
    world.reissue(renewal)  # the desk decides


def test_pin_with_tries_left_is_not_replaced_as_locked(world: World) -> None:
    renewal = world.opened([NAME])
    with pytest.raises(PINNotLocked):
        world.order_pins(renewal, NAME, reason=VoidReason.LOCKED)
    assert announced_data(world, renewal, "pin-voided") == []


@pytest.mark.parametrize("stranger", [("SUB-1", "AR-2"), ("SUB-2", "AR-1")])
def test_order_of_another_ar_is_not_found(world: World, stranger: tuple[str, str]) -> None:
    renewal = world.opened([NAME])
    subscriber_id, ar_id = stranger
    caller = replace(renewal.caller, subscriber_id=SubscriberId(subscriber_id), ar_id=ARId(ar_id))
    with pytest.raises(OrderNotFound):
        world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED, caller=caller)
    assert announced_data(world, renewal, "pin-voided") == []


@pytest.mark.parametrize("state", ["withheld", "issued"])
def test_no_pin_is_ordered_after_the_end(world: World, state: str) -> None:
    renewal = world.opened([NAME]) if state == "withheld" else world.issued([NAME])
    if state == "withheld":
        world.cancel(renewal)
    with pytest.raises(InvalidTransition):
        world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)


def test_reissue_has_no_pins_to_order(world: World) -> None:
    renewal = world.opened([NAME], reissue=True)
    with pytest.raises(OrderNotFound):
        world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)


def test_no_pin_is_ordered_while_one_is_made_or_once_no_csr_is_awaited(world: World) -> None:
    renewal = world.opened([NAME])
    world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)
    with pytest.raises(PINNotReady):
        world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)
    seal_all(world)
    world.submit(renewal)
    with pytest.raises(InvalidTransition):
        world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)
    assert [state for _, state in envelopes(world)] == ["void", "sealed"]


@dataclass
class Interrupted(PINVerifier):
    """A verifier during whose work the AR orders a new PIN."""

    world: World
    renewal: Renewal

    def __init__(self, world: World, renewal: Renewal) -> None:
        super().__init__(world.pepper)
        self.world, self.renewal = world, renewal

    def verify(self, found: Mapping[str, PIN], typed: Mapping[str, str]) -> set[str]:
        """Verify the PINs once a new one is ordered."""
        self.world.order_pins(self.renewal, NAME, reason=VoidReason.EXPOSED)
        return super().verify(found, typed)


def test_csr_with_the_old_pin_is_refused_if_a_new_one_is_ordered_while_it_is_verified(world: World) -> None:
    renewal = world.opened([NAME])
    command = world.submission(renewal)
    verifier = Interrupted(world, renewal)
    with pytest.raises(PINNotReady):
        csr_intake.accept_csr(command, renewal.caller, world.begin, verifier=verifier, policy=world.policy)
    assert [state for _, state in envelopes(world)] == ["void", "planned"]
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "pin-voided", "pin-reissued"]


def test_csr_and_new_pin_at_once_give_either_one_but_never_both(world: World) -> None:
    for _ in range(5):
        renewal = world.opened([NAME])
        command = world.submission(renewal)
        begun = threading.Barrier(2)
        outcomes: list[str] = []

        def submit(renewal: Renewal = renewal, command: csr_intake.SubmitCSR = command) -> None:
            csr_intake.accept_csr(command, renewal.caller, world.begin, verifier=world.verifier, policy=world.policy)

        def order(renewal: Renewal = renewal) -> None:
            world.order_pins(renewal, NAME, reason=VoidReason.EXPOSED)

        def run(act: Callable[[], None], begun: threading.Barrier = begun, outcomes: list[str] = outcomes) -> None:
            begun.wait()
            try:
                act()
                outcomes.append("done")
            except Refused as refused:
                outcomes.append(refused.reason)

        threads = [threading.Thread(target=run, args=(act,)) for act in (submit, order)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(outcomes) in (["done", "not-in-this-state"], ["done", "pin-not-ready"])
        states = [
            state for (state,) in world.rows("SELECT state FROM pins WHERE item_id = %s", renewal.items[0].item_id)
        ]
        assert sorted(states) in (["sealed"], ["planned", "void"])


def test_order_over_http_is_idempotent_and_shows_what_is_left(world: World) -> None:
    renewal = world.opened([NAME])
    client, url = world.app().test_client(), f"/issuance/v1/orders/{renewal.items[0].item_id}/pins"
    body = {"server_names": [NAME], "reason": "exposed"}
    headers = world.headers(renewal, uuid.uuid4().hex)
    for _ in range(2):
        answer = client.post(url, json=body, headers=headers)
        shown = answer.get_json()["pins"][0]
        assert (answer.status_code, shown["state"], shown["new_pins_left"]) == (200, "planned", 2)
    assert len(announced_data(world, renewal, "pin-reissued")) == 1
    seal_all(world)
    refused = client.post(url, json=body | {"reason": "lost"}, headers=world.headers(renewal))
    assert (refused.status_code, refused.get_json()["type"]) == (409, "urn:ecert:problem:pin-too-recent")
    assert refused.get_json()["too_recent"] == [{"server_name": NAME, "possible_from": (world.now + WEEK).isoformat()}]
    [shown] = world.client_orders(renewal)[0]["pins"]
    assert shown["lost_from"] == (world.now + WEEK).isoformat()
    wrong = client.post(url, json=body | {"reason": "whim"}, headers=world.headers(renewal))
    assert wrong.status_code == 422
