"""One certificate of a renewal: its state, download and acceptance."""

import uuid
from typing import Any, Final

import flask
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from portal import csr_guides, web
from portal.pages import renewals
from portal.web import check_form, signed_in

blp: Final = flask.Blueprint(
    "orders", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/orders/<uuid:item_id>"
)
# States in which a CSR can be checked but not submitted, because the order is not open.
_NO_ORDER_YET: Final = ("pending", "ordered")
CSR_WANTED: Final = ("not-open", "awaiting-csr")


def load(renewal_id: uuid.UUID, item_id: uuid.UUID) -> dict[str, Any]:
    """Return the order of an item of this AR's renewal; before the order is opened, what will be ordered."""
    for order in renewals.find_orders(renewal_id):
        if order["item_id"] == str(item_id):
            return order | {"renewal_id": str(renewal_id)}
    renewal = renewals.load(renewal_id)
    item, is_reissue = web.by_item(renewal).get(str(item_id)), renewal["kind"] == "reissue"
    if item is None:
        raise NotFound
    state = "not-open" if item["state"] in _NO_ORDER_YET else item["state"]
    not_yet: dict[str, Any] = {"pins": [], "certificate": None, "refusal": None, "reissue": is_reissue}
    return {**item, **not_yet, "state": state, "item_id": str(item_id), "renewal_id": str(renewal_id)}


@blp.get("")
@signed_in
def overview(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Return the page of the certificate, or the steps to get it."""
    order = load(renewal_id, item_id)
    if order["state"] in CSR_WANTED:
        return web.redirect("csrs.form", renewal_id=renewal_id, item_id=item_id)
    waiting = order["state"] in ("csr-received", "issuing")
    obstacles = order.get("obstacles") if waiting else None
    show = web.show_waiting if waiting and not obstacles else web.show
    guides = csr_guides.guides(order) if order["certificate"] else ()
    return show("order.html", order=order, renewal_id=renewal_id, waiting=waiting, obstacles=obstacles, guides=guides)


@blp.get("/certificate")
@signed_in
def certificate(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """Return the certificate and its chain, in PEM."""
    return _file(renewal_id, item_id, "chain", "pem", "application/pem-certificate-chain")


@blp.get("/certificate.p7b")
@signed_in
def certificate_p7b(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """Return the certificate and its chain in one PKCS#7 file, for Windows."""
    return _file(renewal_id, item_id, "pkcs7", "p7b", "application/x-pkcs7-certificates")


@blp.get("/certificate.pem")
@signed_in
def certificate_pem(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """Return the certificate alone, in PEM."""
    return _file(renewal_id, item_id, "pem", "pem", "application/x-pem-file")


@blp.get("/certificate.cer")
@signed_in
def certificate_der(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """Return the certificate alone, in DER."""
    return _file(renewal_id, item_id, "der", "cer", "application/pkix-cert")


def _file(renewal_id: uuid.UUID, item_id: uuid.UUID, form: str, kind: str, media_type: str) -> flask.Response:
    order = load(renewal_id, item_id)
    content = web.get(f"/issuance/v1/orders/{item_id}/certificate/{form}").body
    headers = {"Content-Disposition": f'attachment; filename="{csr_guides.stem(order)}.{kind}"'}
    return flask.Response(content, headers=headers, content_type=media_type)


@blp.route("/acceptance", methods=["GET", "POST"])
@signed_in
def accept(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Accept the certificate's content and its publication."""
    if flask.request.method == "POST":
        check_form()
        web.post(f"/issuance/v1/orders/{item_id}/acceptance")
    return web.redirect("orders.overview", renewal_id=renewal_id, item_id=item_id)
