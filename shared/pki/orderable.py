"""Server names that can be ordered: one rule for the register's import, the draft and the order.

Names that are refused here can never be certified, so they must not be sold. Issuance checks again when it opens the
order.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from shared.errors import Refused
from shared.pki.names import NameRefused, server_name
from shared.vocabulary import Product

MAX_NAMES: Final = 50


class OrderFault(StrEnum):
    """Reasons why server names cannot be ordered together; faults of a single name are `NameFault`."""

    SPELLING = "names-not-as-certified"
    REPEATED = "names-repeated"
    NUMBER = "names-too-many-or-none"
    WILDCARD = "names-do-not-fit-product"


class NotOrderable(Refused):
    """No certificate of this product can have these server names."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def check_names(product: Product, server_names: Sequence[str]) -> None:
    """Check that a certificate of this product can have exactly these server names. Raises NotOrderable."""
    most = MAX_NAMES if product is Product.MULTI_DOMAIN else 1
    if not 1 <= len(server_names) <= most:
        raise NotOrderable(OrderFault.NUMBER, f"{product} cannot have {len(server_names)} server names")
    for name in server_names:
        _check_name(name)
    if len(set(server_names)) != len(server_names):
        raise NotOrderable(OrderFault.REPEATED, "a server name is given twice")
    if any(name.startswith("*.") is not (product is Product.WILDCARD) for name in server_names):
        raise NotOrderable(OrderFault.WILDCARD, "Wildcard has a name that begins with *., the others have none")


def can_be_ordered(product: Product, server_names: Sequence[str]) -> bool:
    """Return whether a certificate of this product can have exactly these server names."""
    try:
        check_names(product, server_names)
    except NotOrderable:
        return False
    return True


def _check_name(name: str) -> None:
    try:
        certified = server_name(name)
    except NameRefused as refused:
        raise NotOrderable(refused.reason, str(refused)) from refused
    if certified != name:  # PINs, letters and comparisons use the spelling of the certificate
        raise NotOrderable(OrderFault.SPELLING, f"{name!r}: write it {certified}")
