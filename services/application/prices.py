"""Prices of renewals: dated rows, selected by the time of the quote. Amounts in Hong Kong cents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from shared.vocabulary import Product


@dataclass(frozen=True)
class Price:
    """A price from `effective_from` on: a base fee, and a fee for each additional server or server name."""

    effective_from: datetime
    product: Product
    base_minor: int
    additional_minor: int


_2020 = datetime(2019, 12, 31, 16, 0, tzinfo=UTC)

# The notice in force since 2020-01-01, Hong Kong time. It has no fee for Multi-domain, which the operator sets.
PRICES: Final = (
    Price(_2020, Product.STANDARD, 250_000, 0),
    Price(_2020, Product.WILDCARD, 826_500, 47_500),
    Price(_2020, Product.MULTI_DOMAIN, 250_000, 125_000),
)


def in_force(at: datetime, table: Sequence[Price] = PRICES) -> list[Price]:
    """Return the price of each product in force at `at`."""
    begun = sorted((price for price in table if price.effective_from <= at), key=lambda price: price.effective_from)
    return list({price.product: price for price in begun}.values())


def fee(
    product: Product, *, server_names: int, additional_servers: int, at: datetime, table: Sequence[Price] = PRICES
) -> int:
    """Return the fee of one year. Raises LookupError if no price is in force at `at`."""
    found = [price for price in in_force(at, table) if price.product is product]
    if not found:
        raise LookupError(f"no price of {product} at {at.isoformat()}")
    price = found[0]
    additional = server_names - 1 if product is Product.MULTI_DOMAIN else additional_servers
    return price.base_minor + additional * price.additional_minor
