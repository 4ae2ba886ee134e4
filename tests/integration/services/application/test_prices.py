"""Prices as data of the operator: loaded once, in force from their moment, with their lines in the quote."""

import json
from datetime import timedelta
from typing import Final

import pytest

from services.application import price_lists, price_store
from services.application.price_lists import PricesRefused
from services.application.prices import Price
from shared.tx import transaction
from shared.vocabulary import Product
from tests.integration.services.application.world import MULTI, WILDCARD, WWW, World, body
from tests.support.builders import NOW

IN: Final = timedelta(hours=2)


def load(world: World, *, only_check: bool = False) -> bool:
    """Load the list that takes effect in two hours of the test's beginning."""
    amounts = {
        Product.STANDARD: (300_000, 0),
        Product.WILDCARD: (900_000, 50_000),
        Product.MULTI_DOMAIN: (400_000, 90_000),
    }
    effective_from = NOW + IN
    made = [
        Price(version="next", effective_from=effective_from, product=product, base_minor=base, additional_minor=more)
        for product, (base, more) in amounts.items()
    ]
    with transaction(world.pool, clock=world.clock) as tx:
        return price_lists.load(tx, made, "officer", only_check=only_check)


def test_quote_has_lines_that_sum_up_and_the_signed_document_names_the_list(world: World) -> None:
    draft = world.draft(WWW, WILDCARD, MULTI)
    shown = world.shown(draft)
    lines = {
        item["srn"]: [(line["kind"], line["number"], line["unit_minor"]) for line in item["quote"]]
        for item in shown["items"]
    }
    assert lines == {
        WWW: [("base", 1, 250_000)],
        WILDCARD: [("base", 1, 826_500), ("additional-servers", 1, 47_500)],
        MULTI: [("base", 1, 250_000), ("additional-names", 1, 125_000)],
    }
    for item in shown["items"]:
        assert sum(line["amount_minor"] for line in item["quote"]) == item["amount_minor"]
    assert json.loads(draft.document)["fee"]["price_version"] == "2020-01-01"


def test_list_applies_from_its_moment_and_leaves_earlier_drafts_alone(world: World) -> None:
    assert load(world)
    before = world.draft(WWW)
    world.now += IN
    after = world.draft(WWW)
    assert (before.amount_minor, after.amount_minor) == (250_000, 300_000)
    assert json.loads(after.document)["fee"]["price_version"] == "next"
    assert world.shown(before)["items"][0]["quote"][0]["unit_minor"] == 250_000
    assert world.submit(before).status_code == 200
    shown = body(world.http.get("/application/v1/prices"))
    assert {(each["version"], each["product"], each["base_minor"]) for each in shown} == {
        ("next", "standard", 300_000),
        ("next", "wildcard", 900_000),
        ("next", "multi-domain", 400_000),
    }


def test_list_is_loaded_once_and_checked_without_a_trace(world: World) -> None:
    assert not load(world, only_check=True)
    with transaction(world.pool) as tx:
        assert len(price_store.find_prices(tx.conn)) == 3
    assert load(world)
    world.now += IN
    assert not load(world), "the same list again is no fault, even when it is in force"
    assert world.rows("SELECT actor, subject FROM audit_log WHERE action = 'prices-loaded'") == [("officer", "next")]


def test_list_whose_moment_has_come_is_refused(world: World) -> None:
    world.now += IN
    with pytest.raises(PricesRefused):
        load(world)


def test_amount_that_its_lines_do_not_give_has_none(world: World) -> None:
    draft = world.draft(WWW)
    with transaction(world.pool) as tx:
        tx.conn.execute("UPDATE items SET amount_minor = 1")
    assert world.shown(draft)["items"][0]["quote"] == []
