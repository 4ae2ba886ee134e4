"""One certificate of a renewal: its CSR with the PINs, the certificate, its acceptance."""

import uuid
from typing import Any, Final

import flask
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from portal import messages, web
from portal.gateway import APIProblem
from portal.languages import gettext
from portal.pages import renewals
from portal.web import FormError, check_form, signed_in

blp: Final = flask.Blueprint(
    "orders", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/orders/<uuid:item_id>"
)
_MAX_CSR: Final = 32 * 1024
# Which control a refusal is about; the rest are about the CSR.
_FIELDS: Final = {"wrong-reference": "reference", "pins-missing": "pin-1", "pin-slip": "pin-1", "pin-wrong": "pin-1"}


def _load(renewal_id: uuid.UUID, item_id: uuid.UUID) -> dict[str, Any]:
    """The order, if it is of this renewal of ours."""
    for order in renewals.find_orders(renewal_id):
        if order["item_id"] == str(item_id):
            return order
    raise NotFound


@blp.route("", methods=["GET", "POST"])
@signed_in
def overview(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """The CSR form while one is wanted; then the certificate."""
    order = _load(renewal_id, item_id)
    if flask.request.method == "POST":
        return _take_csr(order, renewal_id, item_id)
    if order["state"] == "awaiting-csr":
        return web.show("csr.html", order=order, renewal_id=renewal_id, typed={})
    waiting = order["state"] in ("csr-received", "issuing")
    show = web.show_waiting if waiting else web.show
    return show("order.html", order=order, renewal_id=renewal_id, waiting=waiting)


def _take_csr(order: dict[str, Any], renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    check_form()
    form = flask.request.form
    pins = {name: form.get(f"pin-{n}", "").strip() for n, name in enumerate(order["server_names"], start=1)}
    csr = _read_csr()
    reference = form.get("reference", "").strip()
    errors = _missing(reference, list(pins.values()), csr)
    if not errors:
        body = {"reference": reference, "pins": pins, "csr": csr}
        try:
            web.post(f"/issuance/v1/orders/{item_id}/csr", body)
            return web.redirect("orders.overview", renewal_id=renewal_id, item_id=item_id)
        except APIProblem as problem:
            if problem.status in (401, 404):
                raise
            errors = [FormError(messages.translated(problem), _FIELDS.get(problem.slug, "csr"))]
            if problem.slug == "private-key-pasted":
                csr = ""
            order = _load(renewal_id, item_id)
    # PINs are typed again: they are secrets, and a page is no place to keep them.
    typed = {"reference": reference, "csr": csr}
    return web.show("csr.html", order=order, renewal_id=renewal_id, typed=typed, errors=errors)


def _read_csr() -> str:
    uploaded = flask.request.files.get("csr-file")
    raw = uploaded.read(_MAX_CSR) if uploaded is not None else b""
    return raw.decode("utf-8", "replace") if raw else flask.request.form.get("csr", "")[:_MAX_CSR]


def _missing(reference: str, pins: list[str], csr: str) -> list[FormError]:
    errors = []
    if not reference:
        errors.append(FormError(gettext("Enter the reference number that the PIN Envelope shows"), "reference"))
    for number, pin in enumerate(pins, start=1):
        if not pin:
            errors.append(FormError(gettext("Enter the PIN from each PIN Envelope"), f"pin-{number}"))
            break
    if not csr.strip():
        errors.append(FormError(gettext("Paste your CSR or select its file"), "csr"))
    return errors


@blp.get("/certificate")
@signed_in
def certificate(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """The certificate and those above it."""
    order = _load(renewal_id, item_id)
    chain = web.get(f"/issuance/v1/orders/{item_id}/certificate").body
    name = "".join(c for c in order["server_names"][0].replace("*", "wildcard") if c.isalnum() or c in ".-")
    headers = {"Content-Disposition": f'attachment; filename="{name}.pem"'}
    return flask.Response(chain, headers=headers, content_type="application/pem-certificate-chain")


@blp.route("/acceptance", methods=["GET", "POST"])
@signed_in
def accept(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Confirm the certificate's content and its publication."""
    if flask.request.method == "POST":
        check_form()
        web.post(f"/issuance/v1/orders/{item_id}/acceptance")
    return web.redirect("orders.overview", renewal_id=renewal_id, item_id=item_id)
