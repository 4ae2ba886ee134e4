"""Held events of every service: look up, redrive, skip with four-eyes approval."""

import uuid
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from backoffice.desk import acting, web
from backoffice.desk.acting import Invalid
from backoffice.desk.operators import OperatorAPIUnavailable, Refusal
from backoffice.desk.roles import Action

blp: Final = flask.Blueprint("held", __name__, url_prefix="/held")
# The overview counts at most so many events of a service one by one.
COUNTED: Final = 200
# Services that consume no events have none to hold.
CONSUME_NONE: Final = ("identity",)
_PAGE: Final = 50


@blp.get("")
def overview() -> flask.Response:
    """Return the number of held events of each service, and the proposals that await approval."""
    services = {service: _held_by(service) for service in web.deps().operators.addresses if service not in CONSUME_NONE}
    return web.show("held.html", services=services, counted=COUNTED)


def _held_by(service: str) -> list[dict[str, Any]] | None:
    """Return a service's held events; None if it is unavailable or refuses the desk."""
    try:
        found = web.deps().operators.get(service, "held-events", Action.SEE_HELD, web.member(), limit=COUNTED)
    except (OperatorAPIUnavailable, Refusal):
        return None
    events: list[dict[str, Any]] = found["events"]
    return events


@blp.get("/<service>")
def listing(service: str) -> flask.Response:
    """Return the held events of one service, by topic, key and sequence."""
    _check(service)
    query: dict[str, str | int] = {"limit": _PAGE}
    if "after" in flask.request.args:
        query["after"] = flask.request.args["after"][:2000]
    try:
        found = web.deps().operators.get(service, "held-events", Action.SEE_HELD, web.member(), **query)
    except Refusal as refusal:
        raise web.NotThere(refusal.slug) from refusal
    return web.show("held_by.html", service=service, events=found["events"], following=found["next"])


@blp.get("/<service>/<int:parked_id>")
def show(service: str, parked_id: int) -> flask.Response:
    """Return a held event, with the actions that are possible."""
    return _page(service, _find(service, parked_id), {})


@blp.post("/<service>/<int:parked_id>/redrive")
def redrive(service: str, parked_id: int) -> Response:
    """Redrive the event."""
    event = _find(service, parked_id)
    try:
        path = f"held-events/{parked_id}/redrive"
        progress = acting.have_done(service, path, Action.REDRIVE, subject=event["key"])
    except (Invalid, Refusal) as problem:
        return _page(service, event, acting.form_errors(problem, "redrive"))
    return _gone_on(service, progress)


@blp.post("/<service>/<int:parked_id>/skip")
def propose(service: str, parked_id: int) -> Response:
    """Propose to skip the event."""
    event = _find(service, parked_id)
    try:
        path = f"held-events/{parked_id}/skip-proposals"
        acting.have_done(service, path, Action.PROPOSE_SKIP, subject=event["key"])
    except (Invalid, Refusal) as problem:
        return _page(service, event, acting.form_errors(problem, "skip"))
    return web.redirect("held.show", service=service, parked_id=parked_id, done="proposed")


@blp.post("/<service>/<int:parked_id>/proposals/<uuid:proposal_id>/confirmation")
def confirm(service: str, parked_id: int, proposal_id: uuid.UUID) -> Response:
    """Approve the skip that another person proposed."""
    return _decide(service, parked_id, proposal_id, "confirmation")


@blp.post("/<service>/<int:parked_id>/proposals/<uuid:proposal_id>/rejection")
def reject(service: str, parked_id: int, proposal_id: uuid.UUID) -> Response:
    """Reject a proposed skip; the event stays held."""
    return _decide(service, parked_id, proposal_id, "rejection")


def _decide(service: str, parked_id: int, proposal_id: uuid.UUID, decision: str) -> Response:
    event = _find(service, parked_id)
    if (event["proposal"] or {}).get("id") != str(proposal_id):
        # The proposal is of another event: the audit record would name the wrong renewal.
        return _page(service, event, {"decide-reason": "This event has no open proposal: it was decided on"})
    try:
        path = f"skip-proposals/{proposal_id}/{decision}"
        progress = acting.have_done(service, path, Action.DECIDE_SKIP, subject=event["key"])
    except (Invalid, Refusal) as problem:
        return _page(service, event, acting.form_errors(problem, "decide"))
    if progress is None:
        return web.redirect("held.show", service=service, parked_id=parked_id, done="turned-down")
    return _gone_on(service, progress)


def _gone_on(service: str, progress: dict[str, int]) -> Response:
    done = "gone-on" if progress["held"] == 0 else "held-on"
    return web.redirect("held.listing", service=service, done=done, to=progress["last_sequence"])


def _find(service: str, parked_id: int) -> dict[str, Any]:
    _check(service)
    try:
        path = f"held-events/{parked_id}"
        found: dict[str, Any] = web.deps().operators.get(service, path, Action.SEE_HELD, web.member())
    except Refusal as refusal:
        raise web.NotThere(refusal.slug) from refusal
    return found


def _check(service: str) -> None:
    if service in CONSUME_NONE or service not in web.deps().operators.addresses:
        flask.abort(404)


def _page(service: str, event: dict[str, Any], errors: dict[str, str]) -> flask.Response:
    form = flask.request.form.to_dict()
    mine = bool(event["proposal"]) and event["proposal"]["proposed_by"] == f"staff {web.member().id}"
    return web.show("held_event.html", errors=errors, service=service, event=event, form=form, mine=mine)
