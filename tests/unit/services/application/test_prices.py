"""Prices: the list in force, a quote and its lines, and the rules of a list that is loaded."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.application import price_lists, prices
from services.application.price_lists import PricesRefused
from services.application.prices import Line, LineKind, Price
from shared.vocabulary import Product
from tests.support.builders import NOW

BEGIN: Final = datetime(2019, 12, 31, 16, 0, tzinfo=UTC)
CHANGE: Final = datetime(2027, 6, 30, 16, 0, tzinfo=UTC)


def listed(version: str, effective_from: datetime, standard: int, wildcard: int, multi: int) -> list[Price]:
    """Return a list of prices; what is additional costs a tenth of the base."""
    amounts = {Product.STANDARD: standard, Product.WILDCARD: wildcard, Product.MULTI_DOMAIN: multi}
    return [
        Price(
            version=version,
            effective_from=effective_from,
            product=product,
            base_minor=base,
            additional_minor=0 if product is Product.STANDARD else base // 10,
        )
        for product, base in amounts.items()
    ]


OLD: Final = listed("2020-01-01", BEGIN, 250_000, 800_000, 250_000)
NEW: Final = listed("2027-07-01", CHANGE, 300_000, 900_000, 400_000)
TABLE: Final = [*NEW, *OLD]


@pytest.mark.parametrize(
    ("product", "server_names", "additional_servers", "lines"),
    [
        (Product.STANDARD, 1, 0, [(LineKind.BASE, 1, 250_000)]),
        (Product.STANDARD, 1, 3, [(LineKind.BASE, 1, 250_000)]),
        (Product.WILDCARD, 1, 0, [(LineKind.BASE, 1, 800_000)]),
        (Product.WILDCARD, 1, 2, [(LineKind.BASE, 1, 800_000), (LineKind.ADDITIONAL_SERVERS, 2, 80_000)]),
        (Product.MULTI_DOMAIN, 1, 0, [(LineKind.BASE, 1, 250_000)]),
        (Product.MULTI_DOMAIN, 3, 7, [(LineKind.BASE, 1, 250_000), (LineKind.ADDITIONAL_NAMES, 2, 25_000)]),
    ],
)
def test_quote_has_a_line_for_the_base_and_one_for_what_is_additional(
    product: Product, server_names: int, additional_servers: int, lines: list[tuple[LineKind, int, int]]
) -> None:
    price = prices.find_price(TABLE, product, NOW)
    assert prices.quote(price, server_names=server_names, additional_servers=additional_servers) == [
        Line(kind=kind, number=number, unit_minor=unit) for kind, number, unit in lines
    ]
    assert prices.fee(TABLE, product, server_names=server_names, additional_servers=additional_servers, at=NOW) == sum(
        number * unit for _, number, unit in lines
    )


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (BEGIN, "2020-01-01"),
        (CHANGE - timedelta(seconds=1), "2020-01-01"),
        (CHANGE, "2027-07-01"),
        (CHANGE + timedelta(days=400), "2027-07-01"),
    ],
)
def test_list_applies_from_its_exact_second(at: datetime, version: str) -> None:
    assert {price.version for price in prices.in_force(TABLE, at)} == {version}


def test_price_before_the_first_list_is_none() -> None:
    with pytest.raises(LookupError):
        prices.find_price(TABLE, Product.STANDARD, BEGIN - timedelta(seconds=1))


@given(st.timedeltas(timedelta(), timedelta(days=7000)))
def test_every_product_has_one_price_at_any_time(since: timedelta) -> None:
    assert sorted(price.product for price in prices.in_force(TABLE, BEGIN + since)) == sorted(Product)


# Lists that are loaded


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found[:2], "one price of every product"),
        (lambda found: [*found[:2], found[0]], "one price of every product"),
        (lambda found: [replace(each, effective_from=NOW) for each in found], "is over"),
        (lambda found: [replace(each, version="2020-01-01") for each in found], "another list 2020-01-01"),
        (lambda found: [replace(each, additional_minor=5) for each in found], "nothing additional"),
    ],
)
def test_list_that_breaks_a_rule_is_refused(change: Any, words: str) -> None:
    price_lists.check(NEW, OLD, NOW)
    with pytest.raises(PricesRefused, match=words):
        price_lists.check(change(NEW), OLD, NOW)


def test_list_for_the_moment_of_another_is_refused() -> None:
    with pytest.raises(PricesRefused, match="takes effect at"):
        price_lists.check([replace(each, version="x") for each in NEW], TABLE, NOW)


def content(**changes: Any) -> dict[str, Any]:
    return {
        "version": "2027-07-01",
        "effective_from": CHANGE.isoformat(),
        "prices": [
            {"product": each.product.value, "base_minor": each.base_minor, "additional_minor": each.additional_minor}
            for each in NEW
        ],
        **changes,
    }


def test_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(content()))
    assert price_lists.read_file(file) == NEW


@pytest.mark.parametrize(
    "changes",
    [
        {"version": ""},
        {"version": "a b"},
        {"effective_from": "2027-07-01T00:00:00"},
        {"effective_from": "2027-07-01"},
        {"prices": []},
        {"prices": [{"product": "ev", "base_minor": 1, "additional_minor": 0}]},
        {"prices": [{"product": "standard", "base_minor": 0, "additional_minor": 0}]},
        {"prices": [{"product": "standard", "base_minor": 2500.5, "additional_minor": 0}]},
        {"prices": [{"product": "standard", "base_minor": 10**9, "additional_minor": 0}]},
        {"prices": [{"product": "standard", "base_minor": 1, "additional_minor": -1}]},
        {"prices": [{"product": "standard", "base_minor": 1, "additional_minor": 0}] * 4},
        {"currency": "USD"},
    ],
)
def test_file_with_a_fault_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(content(**changes)))
    with pytest.raises(PricesRefused):
        price_lists.check(price_lists.read_file(file), OLD, NOW)


@pytest.mark.parametrize("raw", [b"", b"[", b"[" * 20_000, b"[]", b"\xff\xfe\xfd", b" " * 16_385])
def test_file_that_is_none_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(raw)
    with pytest.raises(PricesRefused):
        price_lists.read_file(file)
