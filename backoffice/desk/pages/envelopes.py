"""PIN Envelopes: batches, and letters posted, returned or lost; actions for a letter that was returned or never
arrived.
"""

import uuid
from datetime import date, timedelta, timezone
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from backoffice.desk import acting, envelopes, web
from backoffice.desk.acting import Invalid
from backoffice.desk.envelopes import Envelope, Place
from backoffice.desk.operators import Refusal
from backoffice.desk.roles import Action
from shared import audit

blp: Final = flask.Blueprint("envelopes", __name__)
_HONG_KONG: Final = timezone(timedelta(hours=8))
# Reason for voiding a PIN → issuance's name for it.
WHAT: Final = {
    "lost": "It never arrived",
    "returned": "The post returned it",
    "damaged": "It arrived damaged",
    "exposed": "Somebody else has seen the PIN",
    "locked": "The PIN is locked after too many attempts",
}


@blp.get("/envelopes/<any(despatched, returned, lost):place>")
def listing(place: str) -> flask.Response:
    """Return a list of letters: those in the post with the longest first, returned or lost ones newest first."""
    with web.deps().pool.connection() as conn:
        found, following = envelopes.list_envelopes(conn, Place(place), web.after())
    return web.show("envelopes.html", place=place, envelopes=found, following=following)


@blp.get("/envelopes/batches")
def batches() -> flask.Response:
    """Return the posting batches, queried from mailing."""
    found = web.deps().operators.get("mailing", "batches", Action.SEE_BATCHES, web.member())
    return web.show("batches.html", batches=found)


@blp.get("/envelopes/<uuid:envelope_id>")
def show(envelope_id: uuid.UUID) -> flask.Response:
    """Return the page of a letter, with the actions that are possible."""
    return _page(_find(envelope_id), {})


@blp.get("/envelopes/<uuid:envelope_id>/recipient")
def recipient(envelope_id: uuid.UUID) -> flask.Response:
    """Return the letter's recipient. The access is audited, because it shows personal data."""
    envelope = _find(envelope_id)
    with web.transaction() as tx:
        found = envelopes.find_recipient(tx.conn, envelope.renewal_id)
        details: dict[str, audit.Detail] = {"renewal_id": str(envelope.renewal_id)}
        audit.record(tx, actor=web.member().id, action="recipient-seen", subject=str(envelope_id), details=details)
    return web.show("recipient.html", envelope=envelope, recipient=found)


@blp.post("/envelopes/<uuid:envelope_id>/return")
def mark_returned(envelope_id: uuid.UUID) -> Response:
    """Record a letter that the post returned."""
    envelope = _find(envelope_id)
    try:
        path = f"envelopes/{envelope_id}/return"
        acting.have_done("mailing", path, Action.MARK_RETURNED, subject=str(envelope_id), on=_day().isoformat())
    except (Invalid, Refusal) as problem:
        return _page(envelope, acting.form_errors(problem, "returned"))
    return web.redirect("envelopes.show", envelope_id=envelope_id, done="returned")


@blp.post("/envelopes/<uuid:envelope_id>/replacement")
def reissue(envelope_id: uuid.UUID) -> Response:
    """Void the letter's PIN and have another letter made."""
    envelope = _find(envelope_id)
    try:
        acting.have_done(
            "issuance",
            f"orders/{envelope.item_id}/pins",
            Action.REISSUE_PIN,
            subject=str(envelope_id),
            envelope_id=str(envelope_id),
            server_name=envelope.server_name,
            what=_what(),
        )
    except (Invalid, Refusal) as problem:
        return _page(envelope, acting.form_errors(problem, "replace"))
    return web.redirect("envelopes.show", envelope_id=envelope_id, done="replaced")


def _find(envelope_id: uuid.UUID) -> Envelope:
    with web.deps().pool.connection() as conn:
        found = envelopes.find(conn, envelope_id)
    if found is None:
        flask.abort(404)
    return found


def _page(envelope: Envelope, errors: dict[str, str]) -> flask.Response:
    form: dict[str, Any] = flask.request.form.to_dict()
    today = web.deps().clock().astimezone(_HONG_KONG).date()
    return web.show("envelope.html", errors=errors, envelope=envelope, form=form, today=today, what=WHAT)


def _day() -> date:
    parts = [web.given(flask.request.form, f"on-{part}", longest=4) for part in ("year", "month", "day")]
    try:
        found = date(*(int(part) for part in parts))
    except ValueError as error:
        raise Invalid(on="Enter the day it came back, such as 24 11 2026") from error
    if found > web.deps().clock().astimezone(_HONG_KONG).date():
        raise Invalid(on="This day has not come yet")
    return found


def _what() -> str:
    given = flask.request.form.get("what", "")
    if given not in WHAT:
        raise Invalid(what="Select what became of the letter")
    return given
