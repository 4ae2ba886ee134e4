"""Pages of a reissue in every state, as rows: name, address after the language, answers of the API, form."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.unit.portal.stub_api import ITEM, RENEWAL, order, problem, renewal, subscription

Row = tuple[str, str, Mapping[tuple[str, str], Any], Mapping[str, str] | None]

_R: Final = f"/renewals/{RENEWAL}"
_ORDER: Final = f"{_R}/orders/{ITEM}"
_MOMENT: Final = "2026-11-23T02:00:00+00:00"
CHOICE: Final = "/certificates/reissue?srn=0002310001"
SUBSCRIPTIONS: Final = ("GET", "/application/v1/subscriptions")


def reissue(**changed: Any) -> dict[str, Any]:
    """Return a reissue of one certificate."""
    made = renewal(kind="reissue", amount_minor=0, **changed)
    made["items"][0] |= {"amount_minor": 0, "paid_from": "2026-01-07", "paid_until": "2027-01-06"}
    return made


def having(made: dict[str, Any], **of_order: Any) -> dict[tuple[str, str], Any]:
    """Return the answers about this reissue and its order."""
    orders = [order(reissue=True, pins=[], **of_order)]
    return {("GET", f"/application/v1{_R}"): made, ("GET", f"/issuance/v1{_R}/orders"): orders}


def rows() -> Iterator[Row]:
    """Yield the states."""
    refused = problem(409, "not-eligible", srn="0002310001", reason="being-renewed")
    none = {SUBSCRIPTIONS: [subscription(reissue_reason="expired")]}
    waiting = having(reissue(state="awaiting-csrs", submitted_at=_MOMENT, deadline="2027-02-23T02:00:00+00:00"))
    not_open = {**waiting, ("GET", f"/issuance/v1{_R}/orders"): problem(404, "order-not-found")}
    yield "certificates, none to reissue", "/certificates", none, None
    yield "reissue", CHOICE, {}, None
    yield "reissue, refused", CHOICE, {("POST", "/application/v1/renewals"): refused}, {}
    yield "reissue, draft", _R, having(reissue()), None
    yield "reissue, answers", f"{_R}/check", having(reissue()), None
    yield "reissue, sign", f"{_R}/sign", having(reissue()), None
    yield "reissue, status", _R, waiting, None
    yield "reissue, completed", _R, having(reissue(state="completed", submitted_at=_MOMENT)), None
    yield "reissue, cancelled", _R, having(reissue(state="cancelled", submitted_at=_MOMENT)), None
    yield "reissue, acknowledgement", f"{_R}/acknowledgement", waiting, None
    yield "reissue, CSR", f"{_ORDER}/csr", waiting, None
    yield "reissue, CSR before the order", f"{_ORDER}/csr", not_open, {"csr": "-----BEGIN"}
    yield "reissue, CSR can be sent", f"{_ORDER}/csr", waiting, {"csr": "-----BEGIN"}
