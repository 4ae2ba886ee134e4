"""Quote of an item: the lines of which its fee was made when it was drafted."""

from collections.abc import Sequence

from services.application.domain import Item, Renewal, RenewalKind
from services.application.prices import Line, Price, find_price, quote


def lines_of(renewal: Renewal, item: Item, table: Sequence[Price]) -> list[Line]:
    """Return the lines; none for a reissue, nor if they do not give the amount that was signed."""
    if renewal.kind is RenewalKind.REISSUE:
        return []
    try:
        price = find_price(table, item.product, renewal.created_at)
    except LookupError:
        return []
    lines = quote(price, server_names=len(item.server_names), additional_servers=item.additional_servers)
    return lines if sum(line.amount_minor for line in lines) == item.amount_minor else []
