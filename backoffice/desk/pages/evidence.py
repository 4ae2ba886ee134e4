"""Register evidence: what is about to lapse, and its renewal with four-eyes approval, at identity."""

import uuid
from datetime import date, datetime
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from backoffice.desk import acting, web, words
from backoffice.desk.acting import Invalid
from backoffice.desk.operators import Refusal
from backoffice.desk.roles import Action

blp: Final = flask.Blueprint("evidence", __name__, url_prefix="/evidence")
# Evidence that is listed lapses within so many days: two weeks before the alert, four before drafts are refused.
DAYS: Final = 60
_LIMIT: Final = 200
_LONGEST: Final = 200


@blp.get("")
def listing() -> flask.Response:
    """Return the organisations and ARs whose evidence is unknown or lapses soon, or is proposed to be renewed."""
    found = _ask(days=DAYS, limit=_LIMIT)
    return web.show("evidence.html", records=found, days=DAYS, is_cut=len(found) == _LIMIT)


@blp.get("/<any(organisation, authority):kind>/<record_id>")
def show(kind: str, record_id: str) -> flask.Response:
    """Return one organisation or AR, with the actions that are possible."""
    return _page(_find(kind, record_id), {})


@blp.post("/<any(organisation, authority):kind>/<record_id>/proposal")
def propose(kind: str, record_id: str) -> Response:
    """Propose evidence of a new verification."""
    record = _find(kind, record_id)
    try:
        acting.have_done(
            "identity",
            "evidence-proposals",
            Action.PROPOSE_EVIDENCE,
            subject=record_id,
            kind=kind,
            id=record_id,
            verified_at=_verified_at().isoformat(),
            source=_line("source", "Enter what it was verified from"),
            checker=_line("checker", "Enter who verified it"),
        )
    except (Invalid, Refusal) as problem:
        return _page(record, acting.form_errors(problem, "propose"))
    return web.redirect("evidence.show", kind=kind, record_id=record_id, done="proposed")


@blp.post("/<any(organisation, authority):kind>/<record_id>/proposals/<uuid:proposal_id>/approval")
def approve(kind: str, record_id: str, proposal_id: uuid.UUID) -> Response:
    """Approve the evidence that another person proposed."""
    return _decide(kind, record_id, proposal_id, "approval")


@blp.post("/<any(organisation, authority):kind>/<record_id>/proposals/<uuid:proposal_id>/rejection")
def reject(kind: str, record_id: str, proposal_id: uuid.UUID) -> Response:
    """Reject proposed evidence; the record keeps its own."""
    return _decide(kind, record_id, proposal_id, "rejection")


def _decide(kind: str, record_id: str, proposal_id: uuid.UUID, decision: str) -> Response:
    record = _find(kind, record_id)
    if (record["proposal"] or {}).get("id") != str(proposal_id):
        # The proposal is of another record: the audit record would name the wrong one.
        return _page(record, {"decide-reason": "This record has no open proposal: it was decided on"})
    try:
        path = f"evidence-proposals/{proposal_id}/{decision}"
        acting.have_done("identity", path, Action.DECIDE_EVIDENCE, subject=record_id)
    except (Invalid, Refusal) as problem:
        return _page(record, acting.form_errors(problem, "decide"))
    done = {"approval": "evidence-renewed", "rejection": "evidence-kept"}[decision]
    return web.redirect("evidence.show", kind=kind, record_id=record_id, done=done)


def _ask(**query: str | int) -> list[dict[str, Any]]:
    answer = web.deps().operators.get("identity", "register-evidence", Action.SEE_EVIDENCE, web.member(), **query)
    records: list[dict[str, Any]] = answer["records"]
    return records


def _find(kind: str, record_id: str) -> dict[str, Any]:
    try:
        (found,) = _ask(kind=kind, id=record_id)
    except Refusal as refusal:
        raise web.NotThere(refusal.slug) from refusal
    return found


def _page(record: dict[str, Any], errors: dict[str, str]) -> flask.Response:
    mine = bool(record["proposal"]) and record["proposal"]["proposed_by"] == f"staff {web.member().id}"
    form = flask.request.form.to_dict()
    return web.show("evidence_record.html", errors=errors, record=record, form=form, mine=mine, today=_today())


def _today() -> date:
    return web.deps().clock().astimezone(words.HONG_KONG).date()


def _verified_at() -> datetime:
    """Return the beginning of the form's day in Hong Kong: the reuse never lasts longer than from the verification."""
    parts = [web.given(flask.request.form, f"on-{part}", longest=4) for part in ("year", "month", "day")]
    try:
        year, month, day = (int(part) for part in parts)
        found = datetime(year, month, day, tzinfo=words.HONG_KONG)
    except ValueError as error:
        raise Invalid(on="Enter the day of the verification, such as 24 11 2026") from error
    if found.date() > _today():
        raise Invalid(on="This day has not come yet")
    return found


def _line(name: str, what_to_do: str) -> str:
    given = web.given(flask.request.form, name, longest=_LONGEST + 1)
    if not given or len(given) > _LONGEST:
        raise Invalid(**{name: f"{what_to_do}, in {_LONGEST} characters at most"})
    return given
