"""Orders are opened on two proofs only, and a cancellation meets them in either order."""

from dataclasses import replace
from typing import Any

import pytest

from services.issuance import handlers
from shared.errors import Ignored, Refused
from shared.events.application import CSRRequested
from shared.events.issuance import IssuanceRefused
from shared.security.proofs import ProofRefused
from tests.integration.services.issuance.world import Renewal, World, items


def open_orders(world: World, event: CSRRequested) -> None:
    with world.begin() as tx:
        handlers.on_csr_requested(tx, event, keys=world.keys)


def test_orders_are_opened_and_a_pin_is_sealed_for_each_server_name(world: World) -> None:
    renewal = world.opened(["www.example.hk"], ["*.example.com.hk"], ["a.example.hk", "b.example.hk", "c.example.hk"])
    assert world.announced_types(renewal.renewal_id) == ["order-opened"] * 3
    assert set(world.letters(renewal)) == {
        "www.example.hk", "*.example.com.hk", "a.example.hk", "b.example.hk", "c.example.hk",
    }  # fmt: skip
    assert world.rows("SELECT DISTINCT state FROM pins") == [("sealed",)]


def test_opening_orders_twice_changes_nothing(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    with pytest.raises(Ignored):
        open_orders(world, world.request(renewal))
    assert world.announced_types(renewal.renewal_id) == ["order-opened"]


def bent(**fields: Any) -> Renewal:
    renewal = Renewal(items=items(["www.example.hk"]))
    for part, changes in fields.items():
        getattr(renewal, part).update(changes)
    return renewal


OTHER = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    "renewal",
    [
        bent(attestation={"renewal_id": OTHER}),
        bent(attestation={"document_sha256": "0" * 64}),
        bent(attestation={"sub": "AR-2"}),
        bent(attestation={"subscriber": {"id": "SUB-2", "name": "Intruder Ltd", "country": "HK", "locality": "HK"}}),
        bent(attestation={"ar": {"id": "AR-2", "name": "Intruder", "address": ["somewhere"]}}),
        bent(attestation={"ar": {"id": "AR-1", "name": "Chan Tai Man"}}),
        bent(receipt={"sub": OTHER}),
        bent(receipt={"document_sha256": "0" * 64}),
        bent(receipt={"amount_minor": 1}),
        bent(receipt={"currency": "JPY"}),
        bent(document={"purpose": "something else"}),
        bent(document={"renewal_id": OTHER}),
        bent(document={"items": []}),
        bent(document={"fee": {"amount_minor": 1, "currency": "HKD"}}),
    ],
)
def test_proofs_that_do_not_match_open_no_order(world: World, renewal: Renewal) -> None:
    with pytest.raises(ProofRefused):
        open_orders(world, world.request(renewal))
    assert world.rows("SELECT 1 FROM orders") == []


def test_forged_request_of_application_opens_no_order(world: World) -> None:
    renewal = Renewal(items=items(["www.example.hk"]))
    good = world.request(renewal)
    forgeries: tuple[dict[str, Any], ...] = (
        {"attestation": world.attest(renewal, "stranger")},
        {"receipt": world.receipt(renewal, "stranger")},
        {"attestation": good.receipt},
        {"receipt": good.attestation},
        {"attestation": ""},
        {"document": good.document.replace("www.example.hk", "evil.example.hk")},
    )
    for forged in forgeries:
        event = replace(good, **forged)
        with pytest.raises(Refused):
            open_orders(world, event)
    assert world.rows("SELECT 1 FROM orders") == []


NEVER = [
    ["www.example.hk", "www.example.hk"],
    ["WWW.example.hk"],
    ["10.0.0.1"],
    ["a.corp"],
    ["mail.office.local"],
    ["*.com.hk"],
    ["a" * 64 + ".example.hk"],
    [".".join(["a" * 60] * 5)],
    [],
]


@pytest.mark.parametrize("names", NEVER, ids=lambda names: str(names)[:20])
def test_names_that_cannot_be_certified_are_refused_permanently(world: World, names: list[str]) -> None:
    renewal = Renewal(items=(*items(["www.example.hk"]), replace(items(["a.example.hk"])[0], names=tuple(names))))
    open_orders(world, world.request(renewal))
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "issuance-refused"]
    [refused] = [e for e in world.announced(renewal.renewal_id) if isinstance(e, IssuanceRefused)]
    assert (refused.item_id, refused.reason) == (renewal.items[1].item_id, "names-not-certifiable")
    assert world.rows("SELECT item_id FROM orders") == [(renewal.items[0].item_id,)]
    assert world.rows("SELECT DISTINCT server_name FROM pins") == [("www.example.hk",)]


def test_other_items_of_such_a_renewal_are_issued(world: World) -> None:
    renewal = Renewal(items=items(["www.example.hk"], ["mail.office.local"]))
    open_orders(world, world.request(renewal))
    while world.seal():
        pass
    world.prove(renewal)
    world.submit(renewal)
    world.issue()
    assert world.announced_types(renewal.renewal_id) == [
        "order-opened",
        "issuance-refused",
        "csr-received",
        "certificate-issued",
    ]


def test_renewal_of_which_no_item_can_be_ordered_can_still_be_cancelled(world: World) -> None:
    renewal = Renewal(items=items(["10.0.0.1"]))
    open_orders(world, world.request(renewal))
    world.cancel(renewal)
    assert world.announced_types(renewal.renewal_id) == ["issuance-refused", "issuance-withheld"]


def test_another_renewals_item_is_not_ordered_again(world: World) -> None:
    first = world.opened(["www.example.hk"])
    with pytest.raises(ProofRefused):
        open_orders(world, world.request(Renewal(items=first.items)))


def test_cancellation_before_the_orders_withholds_them_permanently(world: World) -> None:
    renewal = Renewal(items=items(["www.example.hk"]))
    world.cancel(renewal)
    with pytest.raises(Ignored):
        open_orders(world, world.request(renewal))
    assert world.announced_types(renewal.renewal_id) == ["issuance-withheld"]
    assert world.rows("SELECT 1 FROM orders") == []


def test_cancellation_of_open_orders_voids_their_pins(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.cancel(renewal)
    world.cancel(renewal)
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "issuance-withheld", "issuance-withheld"]
    assert world.rows("SELECT state FROM orders") == [("withheld",)]
    assert world.rows("SELECT state FROM pins") == [("void",)]


def test_cancelled_order_takes_no_csr_and_is_never_issued(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    world.cancel(renewal)
    world.issue()
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "csr-received", "issuance-withheld"]
    with pytest.raises(Refused):
        world.submit(renewal)
    assert world.rows("SELECT 1 FROM intents") == []
