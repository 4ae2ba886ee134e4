"""One renewal: its task list as a draft, check of the answers, signature, and its progress afterwards."""

import base64
import hashlib
import re
import uuid
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import domains, languages, messages, progress, published, refusals, signing_guides, web
from portal.languages import gettext
from portal.web import FormError, check_form, signed_in
from shared.pki import armour
from shared.web.https_client import APIProblem, Reply

blp: Final = flask.Blueprint("renewals", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>")
# Above identity's limit for a signature, and far below the size of a file chosen by mistake.
_MAX_SIGNATURE: Final = 65_536
_SIGNATURE_LABELS: Final = ("CMS", "PKCS7", "PKCS #7 SIGNED DATA")
# Header that comes with a draft's document, and is sent to identity with the signature.
_TICKET: Final = "Draft-Ticket"


def load(renewal_id: uuid.UUID) -> dict[str, Any]:
    """Return the renewal. Raises APIProblem 404 for another subscriber's."""
    renewal: dict[str, Any] = web.get(f"/application/v1/renewals/{renewal_id}").json()
    return renewal


@blp.get("")
@signed_in
def overview(renewal_id: uuid.UUID) -> flask.Response:
    """Return a draft's task list, or the state of a submitted renewal with the next step."""
    renewal = load(renewal_id)
    if renewal["state"] == "draft":
        return web.show("draft.html", renewal=renewal, control=domains.find_control(renewal))
    orders = find_orders(renewal_id)
    control = domains.find_control(renewal)
    running = progress.running(renewal, orders) or (control is not None and control.checking > 0)
    show = web.show_waiting if running else web.show
    return show(
        "status.html",
        renewal=renewal,
        orders={order["item_id"]: order for order in orders},
        items=web.by_item(renewal),
        envelopes=progress.envelopes(renewal),
        returned=progress.returned(renewal),
        obstacles=progress.obstacles(renewal, orders),
        control=control,
        ending=messages.ending(renewal["ending"]),
        running=running,
    )


def find_orders(renewal_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return the orders that are open."""
    try:
        orders: list[dict[str, Any]] = web.get(f"/issuance/v1/renewals/{renewal_id}/orders").json()
    except APIProblem as problem:
        if problem.status != 404:
            raise
        return []
    return orders


@blp.get("/check")
@signed_in
def check(renewal_id: uuid.UUID) -> flask.Response:
    """Return the page "Check your answers": items, fee, declarations, and the recipient of the letters."""
    written = _document(renewal_id).json()
    return web.show(
        "check.html",
        renewal=load(renewal_id),
        document=written,
        terms=published.agreed_terms(written["terms"]),
        me=web.get("/identity/v1/me").json(),
        today={s["srn"]: s for s in web.get("/application/v1/subscriptions").json()},
    )


def _document(renewal_id: uuid.UUID) -> Reply:
    return web.get(f"/application/v1/renewals/{renewal_id}/document")


@blp.get("/document")
@signed_in
def document(renewal_id: uuid.UUID) -> flask.Response:
    """Return the document to sign, byte for byte, under the file name that the commands use."""
    written = _document(renewal_id)
    headers = {"Content-Disposition": f'attachment; filename="{_stem(written.json())}.json"'}
    return flask.Response(written.body, headers=headers, content_type="application/json")


def _stem(written: dict[str, Any]) -> str:
    """Return the base name for the document and its signature on the AR's computer."""
    return "renewal-" + re.sub(r"[^A-Za-z0-9-]", "", written["reference"])


@blp.get("/acknowledgement")
@signed_in
def acknowledgement(renewal_id: uuid.UUID) -> Response:
    """Return the acknowledgement of the signed application, to print or to save."""
    renewal = load(renewal_id)
    if renewal["submitted_at"] is None:
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    return web.show("acknowledgement.html", renewal=renewal, document=_document(renewal_id).json())


@blp.route("/sign", methods=["GET", "POST"])
@signed_in
def sign(renewal_id: uuid.UUID) -> Response:
    """Sign in the browser, or download the document and upload a detached signature; then submit."""
    renewal = load(renewal_id)
    if renewal["state"] != "draft":
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    if flask.request.method == "GET":
        return _show_signing(renewal)
    check_form()
    signature = _read_signature()
    if isinstance(signature, FormError):
        return _show_signing(renewal, signature)
    try:
        _submit(renewal_id, signature)
    except APIProblem as problem:
        if problem.status in (401, 404):
            raise
        return _show_signing(renewal, FormError(refusals.translated(problem), "signature"))
    return web.redirect(_next_page(renewal), renewal_id=renewal_id)


def _next_page(renewal: dict[str, Any]) -> str:
    """Return the page after the submission: nothing is to be paid for a reissue."""
    return "renewals.overview" if renewal["kind"] == "reissue" else "payment.overview"


def _show_signing(renewal: dict[str, Any], *errors: FormError) -> flask.Response:
    """Return the page with both ways to sign; the script gets the exact bytes of the document and the server's time."""
    written = _document(uuid.UUID(renewal["id"]))
    content = written.json()
    file, signature = f"{_stem(content)}.json", f"{_stem(content)}.p7s"
    return web.show(
        "sign.html",
        renewal=renewal,
        document=base64.b64encode(written.body).decode(),
        time=languages.now().isoformat(timespec="seconds"),
        terms=content["terms"],
        guides=signing_guides.guides(file, signature),
        file=file,
        signature=signature,
        errors=errors,
    )


def _submit(renewal_id: uuid.UUID, signature: bytes) -> None:
    """Have the signature attested and submit the renewal; repeating it with the same signature continues where it
    stopped.
    """
    written = _document(renewal_id)
    body = {
        "renewal_id": str(renewal_id),
        "document": base64.b64encode(written.body).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    key = hashlib.sha256(f"{renewal_id}".encode() + signature).hexdigest()[:32]
    ticket = {name: written.headers[name] for name in (_TICKET,) if name in written.headers}
    attested = web.post("/identity/v1/attestations", body, key=key, headers=ticket).json()
    submission = {"attestation": attested["attestation"]}
    web.post(f"/application/v1/renewals/{renewal_id}/submission", submission, key=key)


def _read_signature() -> bytes | FormError:
    """Return the signature from the form's field (Base64) or from the uploaded file (DER, PEM or Base64)."""
    in_page = flask.request.form.get("signature-base64", "")
    uploaded = flask.request.files.get("signature")
    raw = in_page.encode() if in_page else uploaded.read(_MAX_SIGNATURE + 1) if uploaded is not None else b""
    if not raw:
        return FormError(gettext("Select the file that holds your signature"), "signature")
    if len(raw) > _MAX_SIGNATURE:
        return FormError(gettext("The file is too large to be a signature"), "signature")
    der = _from_page(in_page) if in_page else armour.first(raw, *_SIGNATURE_LABELS)
    return der or FormError(gettext("The file is not a signature as the command makes it"), "signature")


def _from_page(text: str) -> bytes | None:
    """Return the signature that the page's script put into the form."""
    try:
        der = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return der if der[:1] == b"\x30" else None


@blp.route("/cancel", methods=["GET", "POST"])
@signed_in
def cancel(renewal_id: uuid.UUID) -> Response:
    """Request the cancellation, after a confirmation."""
    renewal = load(renewal_id)
    if flask.request.method == "GET":
        return web.show("cancel.html", renewal=renewal)
    check_form()
    try:
        web.post(f"/application/v1/renewals/{renewal_id}/cancellation")
    except APIProblem as problem:
        if problem.status in (401, 404):
            raise
        return web.show("cancel.html", renewal=renewal, errors=[FormError(refusals.translated(problem), "cancel")])
    return web.redirect("renewals.overview", renewal_id=renewal_id)
