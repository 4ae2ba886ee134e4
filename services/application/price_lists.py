"""Price lists of the operator: checked and loaded from a file, before they take effect.

Format: {"version": "2027-07-01", "effective_from": ISO 8601 with a zone, "prices": [{"product", "base_minor",
"additional_minor"}]}, with one price of every product, in Hong Kong cents. A list that is loaded never changes: quotes,
receipts and signed documents rest on it.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, validate

from services.application import price_store
from services.application.prices import Price
from shared import audit
from shared.errors import Refused
from shared.tx import Tx
from shared.validation import texts
from shared.vocabulary import Product

MAX_BYTES: Final = 16_384
# HK$ 1,000,000: a larger one is a typing error.
_AMOUNT: Final = 100_000_000


class PricesRefused(Refused):
    """The file was not loaded; the message names the fault."""

    reason = "prices-refused"


class _PriceSchema(Schema):
    product = fields.Enum(Product, by_value=True, required=True)
    base_minor = fields.Integer(required=True, strict=True, validate=validate.Range(1, _AMOUNT))
    additional_minor = fields.Integer(required=True, strict=True, validate=validate.Range(0, _AMOUNT))


class _ListSchema(Schema):
    version = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z"))
    effective_from = fields.AwareDateTime(required=True)
    prices = fields.List(fields.Nested(_PriceSchema), required=True, validate=validate.Length(max=len(Product)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=Path, help="file with a price list (JSON)")
    parser.add_argument("--check", action="store_true", help="check it, and load nothing")


def read_file(path: Path) -> list[Price]:
    """Return the prices of a file. Raises PricesRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError("too large")
        content: dict[str, Any] = _ListSchema().load(json.loads(texts.decode(raw)))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise PricesRefused(f"{path.name}: {error}") from error
    common = {"version": content["version"], "effective_from": content["effective_from"]}
    return [Price(**common, **price) for price in content["prices"]]


def check(prices: Sequence[Price], known: Sequence[Price], now: datetime) -> None:
    """Check a list against those that are loaded. Raises PricesRefused."""
    if sorted(price.product for price in prices) != sorted(Product):
        raise PricesRefused("a list has one price of every product")
    if any(price.product is Product.STANDARD and price.additional_minor for price in prices):
        raise PricesRefused("a standard certificate has nothing additional to pay for")
    version, effective_from = prices[0].version, prices[0].effective_from
    if effective_from <= now:
        raise PricesRefused(f"{effective_from.isoformat()} is over: quotes were made since")
    if any(price.version == version for price in known):
        raise PricesRefused(f"another list {version} is loaded")
    if any(price.effective_from == effective_from for price in known):
        raise PricesRefused(f"another list takes effect at {effective_from.isoformat()}")


def load(tx: Tx, prices: Sequence[Price], actor: str, *, only_check: bool = False) -> bool:
    """Load a list. Returns False if it was loaded before, or is only to be checked. Raises PricesRefused."""
    price_store.lock_prices(tx.conn)
    known = price_store.find_prices(tx.conn)
    if prices and all(price in known for price in prices):
        return False
    check(prices, known, tx.now)
    if only_check:
        return False
    price_store.add_prices(tx.conn, list(prices))
    version, effective_from = prices[0].version, prices[0].effective_from
    details: dict[str, audit.Detail] = {"effective_from": effective_from.isoformat()}
    details |= {str(price.product): f"{price.base_minor} + {price.additional_minor}" for price in prices}
    audit.record(tx, actor=actor, action="prices-loaded", subject=version, details=details)
    return True
