"""Revocation of a certificate by an AR: reason, effect, confirmation, and what the CRL shows afterwards."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import languages, messages, refusals, session, web
from portal.languages import gettext
from portal.pages import orders
from portal.web import FormError, check_form, signed_in
from shared.web.https_client import APIProblem

blp: Final = flask.Blueprint(
    "revocations", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/orders/<uuid:item_id>/revocation"
)
_KEY_COMPROMISE: Final = "keyCompromise"


@blp.route("", methods=["GET", "POST"])
@signed_in
def form(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Return the form, or why there is nothing to revoke; revoke when the form is sent."""
    order = orders.load(renewal_id, item_id)
    certificate = order["certificate"]
    if flask.request.method == "GET":
        wanted = certificate is not None and (_is_usable(certificate) or "key" in flask.request.args)
        return _form(order) if wanted and _reasons(certificate) else _outcome(order)
    check_form()
    web.keep_form()
    if certificate is None:
        return _outcome(order)
    reason = flask.request.form.get("revocation-reason", "")
    if errors := _errors(reason, _reasons(certificate)):
        return _form(order, errors)
    try:
        web.post(f"/issuance/v1/orders/{item_id}/revocation", {"reason": reason})
    except APIProblem as problem:
        if problem.status in (401, 404):
            raise
        if problem.slug != "certificate-expired":
            return _form(order, [FormError(refusals.translated(problem), "revoke")])
    session.keep(web.place(), {})
    reported = {"reported": 1} if _is_expired(certificate) else {}
    return web.redirect("revocations.form", renewal_id=renewal_id, item_id=item_id, **reported)


def _is_usable(certificate: Mapping[str, Any]) -> bool:
    return certificate["revoked_at"] is None and not _is_expired(certificate)


def _is_expired(certificate: Mapping[str, Any]) -> bool:
    return datetime.fromisoformat(certificate["not_after"]) < languages.now()


def _reasons(certificate: Mapping[str, Any]) -> Sequence[str]:
    """Return the reasons to choose from: a revoked or expired certificate's key can still be reported."""
    if _is_usable(certificate):
        return list(messages.REVOCATION_REASONS)
    return [] if certificate["revocation_reason"] == _KEY_COMPROMISE else [_KEY_COMPROMISE]


def _errors(reason: str, reasons: Sequence[str]) -> list[FormError]:
    errors = []
    if reason not in reasons:
        errors.append(FormError(gettext("Select why the certificate is to be revoked"), "revocation-reason"))
    if "understood" not in flask.request.form:
        errors.append(FormError(gettext("Confirm that you have read what revoking does"), "understood"))
    return errors


def _form(order: Mapping[str, Any], errors: Sequence[FormError] = ()) -> flask.Response:
    chosen = flask.request.form.get("revocation-reason") or web.kept().get("revocation-reason", "")
    reasons = _reasons(order["certificate"])
    return web.show("revocation.html", order=order, reasons=reasons, chosen=chosen, errors=errors)


def _outcome(order: Mapping[str, Any]) -> flask.Response:
    """Return the page of a certificate that is revoked, has expired or does not exist."""
    certificate = order["certificate"]
    listed = certificate is not None and certificate.get("listed_at") is not None
    waits = certificate is not None and certificate["revoked_at"] is not None and not listed
    show = web.show_waiting if waits else web.show
    can_report = certificate is not None and bool(_reasons(certificate))
    return show("revoked.html", order=order, waits=waits, can_report=can_report)
