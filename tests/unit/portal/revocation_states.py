"""Pages of a revocation in every state, as rows: name, address after the language, answers of the API, form."""

from collections.abc import Mapping
from typing import Any, Final

from tests.unit.portal.stub_api import CERTIFICATE, ITEM, RENEWAL, order, problem

Answers = Mapping[tuple[str, str], Any]
_PAGE: Final = f"/renewals/{RENEWAL}/orders/{ITEM}/revocation"
_SEND: Final = ("POST", f"/issuance/v1/orders/{ITEM}/revocation")
_FORM: Final = {"revocation-reason": "superseded", "understood": "yes"}
_NAMES: Final = ["warehouse-management-and-customs-clearance.hong-kong-island.harbourlights.example.com.hk"]
_MOMENT: Final = "2026-11-23T02:00:00+00:00"
_SUPERSEDED: Final = {"revoked_at": _MOMENT, "revocation_reason": "superseded"}


def _having(**changed: Any) -> Answers:
    return _ordered(state="accepted", certificate=CERTIFICATE | changed, server_names=_NAMES)


def _ordered(**changed: Any) -> Answers:
    return {("GET", f"/issuance/v1/renewals/{RENEWAL}/orders"): [order(**changed)]}


def rows() -> list[tuple[str, str, Answers, Mapping[str, str] | None]]:
    """Return them."""
    compromised = {"revoked_at": _MOMENT, "revocation_reason": "keyCompromise"}
    ends = {
        "not issued": _ordered(),
        "expired": _having(not_after=_MOMENT),
        "on its way to the CRL": _having(**_SUPERSEDED),
        "on the CRL": _having(**_SUPERSEDED, listed_at=_MOMENT),
        "key known": _having(**compromised, listed_at=_MOMENT),
        "by the CA": _having(revoked_at=_MOMENT, revocation_reason="privilegeWithdrawn", listed_at=_MOMENT),
    }
    old = {**_having(), _SEND: problem(401, "sign-in-again")}
    busy = {**_having(), _SEND: problem(409, "idempotency-key-in-use")}
    return [
        ("revocation", _PAGE, _having(), None),
        ("revocation, nothing chosen", _PAGE, _having(), {"revocation-reason": ""}),
        ("revocation, refused", _PAGE, busy, _FORM),
        ("revocation, sign in again", _PAGE, old, _FORM),
        ("key of a revoked certificate", f"{_PAGE}?key=1", _having(**_SUPERSEDED), None),
        ("key of an expired one, reported", f"{_PAGE}?reported=1", _having(not_after=_MOMENT), None),
        *((f"revocation, {name}", _PAGE, answers, None) for name, answers in ends.items()),
    ]
