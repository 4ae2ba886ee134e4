"""New PIN Envelopes for one certificate: for which server names and why, with the earlier PIN void at once."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import languages, messages, refusals, web
from portal.languages import gettext
from portal.pages import orders
from portal.web import FormError, check_form, signed_in
from shared.web.https_client import APIProblem

blp: Final = flask.Blueprint(
    "pins", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/orders/<uuid:item_id>/pins"
)
# Refusals of the reason; all others are about the server names.
_OF_THE_REASON: Final = ("pin-too-recent", "pin-not-locked")


@blp.route("", methods=["GET", "POST"])
@signed_in
def form(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Show the form for new PIN Envelopes, and order them."""
    order = orders.load(renewal_id, item_id)
    if order["state"] != "awaiting-csr" or not order["pins"]:
        return web.redirect("orders.overview", renewal_id=renewal_id, item_id=item_id)
    if flask.request.method == "GET":
        locked = [pin["server_name"] for pin in order["pins"] if pin["state"] == "locked"]
        return _show(order, locked, "locked" if locked else "")
    check_form()
    names, reason = flask.request.form.getlist("name"), flask.request.form.get("reason", "")
    if errors := _missing(names, reason):
        return _show(order, names, reason, *errors)
    try:
        web.post(f"/issuance/v1/orders/{item_id}/pins", {"server_names": names, "reason": reason})
    except APIProblem as problem:
        if problem.status in (401, 404):
            raise
        return _show(orders.load(renewal_id, item_id), names, reason, *_refused(problem))
    return web.redirect("pins.ordered", renewal_id=renewal_id, item_id=item_id)


@blp.get("/ordered")
@signed_in
def ordered(renewal_id: uuid.UUID, item_id: uuid.UUID) -> flask.Response:
    """Return the confirmation."""
    return web.show("pins_ordered.html", order=orders.load(renewal_id, item_id))


def _show(order: Mapping[str, Any], names: Sequence[str], reason: str, *errors: FormError) -> flask.Response:
    only = [pin["server_name"] for pin in order["pins"]] if len(order["pins"]) == 1 else []
    return web.show("pins.html", order=order, chosen=names or only, reason=reason, errors=errors)


def _missing(names: Sequence[str], reason: str) -> list[FormError]:
    errors = []
    if not names:
        errors.append(FormError(gettext("Choose the server names that need a new PIN Envelope"), "name"))
    if reason not in messages.PIN_REASONS:
        errors.append(FormError(gettext("Choose why a new PIN Envelope is needed"), "reason"))
    return errors


def _refused(problem: APIProblem) -> list[FormError]:
    """Return the errors of a refusal: with each server name, and the time from which the order is possible."""
    field, text = "reason" if problem.slug in _OF_THE_REASON else "name", refusals.translated(problem)
    named = [*problem.document.get("used_up", []), *problem.document.get("not_locked", [])]
    errors = [FormError(f"{name}: {text}", field) for name in named]
    for each in problem.document.get("too_recent", []):
        possible = gettext("Possible from %(moment)s") % {"moment": languages.clock(each["possible_from"])}
        errors.append(FormError(f"{each['server_name']}: {text} {possible}", field))
    return errors or [FormError(text, field)]
