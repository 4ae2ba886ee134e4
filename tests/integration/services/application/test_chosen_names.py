"""Server names of Multi-domain that a renewal changes: in document, price and subscription; refused before money."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.integration.services.application.world import MULTI, WILDCARD, WWW, World, body
from tests.support.problems import full_problem, problem


def draft(world: World, item: dict[str, Any]) -> TestResponse:
    return world.post("/renewals", {"items": [item]})


MAIL, VPN = "mail.harbourlights.example.hk", "vpn.harbourlights.example.hk"


def test_chosen_names_are_in_document_price_and_subscription(world: World) -> None:
    chosen = ["PORTAL.harbourlights.example.hk", MAIL, "api.harbourlights.example.hk"]
    renewal = world.draft(MULTI, server_names=chosen)
    (item,) = renewal.items
    assert item["server_names"] == ["portal.harbourlights.example.hk", MAIL, "api.harbourlights.example.hk"]
    assert item["present_server_names"] == [MAIL, VPN]
    assert item["amount_minor"] == 250_000 + 2 * 125_000
    assert world.submit(renewal).status_code == 200
    world.apply(world.captured(renewal), world.issued(renewal))
    (shown,) = [s for s in body(world.get("/subscriptions")) if s["srn"] == MULTI]
    assert shown["server_names"] == item["server_names"]


def test_same_names_in_another_order_change_nothing(world: World) -> None:
    (item,) = world.draft(MULTI, server_names=[VPN, MAIL.upper()]).items
    assert item["server_names"] == [MAIL, VPN]
    assert "present_server_names" not in item


@pytest.mark.parametrize(
    ("chosen", "reason", "at_fault"),
    [
        (["a_b.example.hk"], "name-underscore", ["a_b.example.hk"]),
        ([MAIL, "10.0.0.1"], "name-is-ip-address", ["10.0.0.1"]),
        (["server.local"], "name-internal-or-reserved", ["server.local"]),
        (["com.hk"], "name-is-public-suffix", ["com.hk"]),
        ([MAIL, MAIL.upper()], "names-repeated", []),
        (["*.example.hk"], "names-do-not-fit-product", []),
    ],
)
def test_names_that_cannot_be_certified_are_refused_before_any_payment(
    world: World, chosen: list[str], reason: str, at_fault: list[str]
) -> None:
    answer = draft(world, {"srn": MULTI, "server_names": chosen})
    assert full_problem(answer) == (422, "server-names-refused", reason)
    assert (body(answer)["srn"], body(answer)["server_names"]) == (MULTI, at_fault)
    assert body(world.get("/renewals")) == []


def test_names_of_other_products_are_fixed(world: World) -> None:
    for srn in (WWW, WILDCARD):
        assert problem(draft(world, {"srn": srn, "server_names": ["new.example.hk"]})) == (409, "server-names-fixed")


def test_draft_with_other_names_is_out_of_date_after_a_change_of_the_register(world: World) -> None:
    renewal = world.draft(MULTI, server_names=[MAIL])
    world.change_subscription(MULTI, server_names=[MAIL, "new.harbourlights.example.hk"])
    assert problem(world.submit(renewal)) == (409, "document-too-old")
