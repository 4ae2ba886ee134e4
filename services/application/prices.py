"""Prices of renewals: dated lists, selected by the time of the quote. Amounts in Hong Kong cents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.vocabulary import Product


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price from `effective_from` on: a base fee, and a fee for each additional server or server name.

    `version` names the list that it is of; a list has a price of every product.
    """

    version: str
    effective_from: datetime
    product: Product
    base_minor: int
    additional_minor: int


class LineKind(StrEnum):
    """Kinds of lines of a quote."""

    BASE = "base"
    ADDITIONAL_SERVERS = "additional-servers"
    ADDITIONAL_NAMES = "additional-names"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a quote: so many, each at a price."""

    kind: LineKind
    number: int
    unit_minor: int

    @property
    def amount_minor(self) -> int:
        """The line's amount."""
        return self.number * self.unit_minor


def in_force(table: Sequence[Price], at: datetime) -> list[Price]:
    """Return the price of each product in force at `at`."""
    begun = sorted((price for price in table if price.effective_from <= at), key=lambda price: price.effective_from)
    return list({price.product: price for price in begun}.values())


def find_price(table: Sequence[Price], product: Product, at: datetime) -> Price:
    """Return the price of a product at `at`. Raises LookupError if none is in force."""
    found = [price for price in in_force(table, at) if price.product is product]
    if not found:
        raise LookupError(f"no price of {product} at {at.isoformat()}")
    return found[0]


def quote(price: Price, *, server_names: int, additional_servers: int) -> list[Line]:
    """Return the lines of one year's fee: the base, and what is additional if it costs anything."""
    lines = [Line(kind=LineKind.BASE, number=1, unit_minor=price.base_minor)]
    names = price.product is Product.MULTI_DOMAIN
    number = server_names - 1 if names else additional_servers
    if number and price.additional_minor:
        kind = LineKind.ADDITIONAL_NAMES if names else LineKind.ADDITIONAL_SERVERS
        lines.append(Line(kind=kind, number=number, unit_minor=price.additional_minor))
    return lines


def fee(table: Sequence[Price], product: Product, *, server_names: int, additional_servers: int, at: datetime) -> int:
    """Return the fee of one year: the sum of the lines. Raises LookupError if no price is in force at `at`."""
    lines = quote(find_price(table, product, at), server_names=server_names, additional_servers=additional_servers)
    return sum(line.amount_minor for line in lines)
