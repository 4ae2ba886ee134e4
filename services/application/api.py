"""HTTP API of application: eligible subscriptions, drafts, the document to sign, submission, cancellation, state."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import flask

from services.application import (
    eligibility,
    handlers,
    price_store,
    prices,
    quotes,
    store,
    submission,
    terms,
    tickets,
    timeline_store,
)
from services.application.domain import Renewal, RenewalState
from services.application.eligibility import Limits
from services.application.period import today
from services.application.prices import Price
from services.application.refusals import (
    DocumentTooOld,
    InvalidTransition,
    NoAdditionalServers,
    NotEligible,
    RenewalNotFound,
    ServerNamesFixed,
    ServerNamesRefused,
    TermsNotFound,
    TooEarly,
    WrongAttestation,
)
from services.application.safe_start import LeadTimes, latest_safe_start, slack_days
from services.application.schemas import (
    DocumentSchema,
    DraftSchema,
    EligibleSchema,
    PriceSchema,
    RenewalSchema,
    RenewalSummarySchema,
    SubmissionSchema,
    TermsSchema,
)
from services.application.slack import slack_of
from services.application.submission import DraftRenewal
from services.application.subscription import Subscription
from services.application.terms import Terms
from shared.db import Conn
from shared.pki.names import NameFault
from shared.pki.orderable import OrderFault
from shared.security.tokens import DRAFT_TICKET_HEADER, SigningKey
from shared.tx import Tx
from shared.vocabulary import RenewalId
from shared.web import commands, request
from shared.web.auth import Caller
from shared.web.openapi import Blueprint, for_everyone, refuses, signed_in
from shared.web.problem_api import KeySetSchema
from shared.web.problems import Problem, ProblemTable, names, one_of

PROBLEMS: Final[ProblemTable] = {
    RenewalNotFound: Problem(HTTPStatus.NOT_FOUND, RenewalNotFound.reason, "Unknown renewal"),
    InvalidTransition: Problem(
        HTTPStatus.CONFLICT,
        InvalidTransition.reason,
        "Renewal state does not allow this",
        members={"state": one_of(RenewalState, "Where the renewal stands")},
    ),
    NotEligible: Problem(
        HTTPStatus.CONFLICT,
        NotEligible.reason,
        "Certificate cannot be renewed online now",
        members={
            "srn": {"type": "string", "description": "Whose certificate"},
            "reason": one_of({"unknown", *eligibility.ADVICE} - {"too-early"}, "Why not"),
            "advice": {"type": "string", "description": "What to do instead"},
        },
    ),
    TooEarly: Problem(
        HTTPStatus.CONFLICT,
        TooEarly.reason,
        "Next year cannot be bought yet",
        members={
            "srn": {"type": "string", "description": "Whose certificate"},
            "opens_on": {"type": "string", "format": "date", "description": "From when it can be, a day in Hong Kong"},
        },
    ),
    ServerNamesFixed: Problem(HTTPStatus.CONFLICT, ServerNamesFixed.reason, "Server names cannot be changed"),
    ServerNamesRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        ServerNamesRefused.reason,
        "Server names cannot be ordered",
        members={
            "srn": {"type": "string", "description": "Of which certificate"},
            "reason": one_of([*NameFault, *OrderFault], "Why not"),
            "server_names": names("Those at fault; empty if all together are"),
        },
    ),
    NoAdditionalServers: Problem(HTTPStatus.CONFLICT, NoAdditionalServers.reason, "Product has no additional servers"),
    WrongAttestation: Problem(HTTPStatus.CONFLICT, WrongAttestation.reason, "Attestation is for another document"),
    DocumentTooOld: Problem(HTTPStatus.CONFLICT, DocumentTooOld.reason, "Document out of date; create a new draft"),
    TermsNotFound: Problem(HTTPStatus.NOT_FOUND, TermsNotFound.reason, "Unknown terms"),
}

LISTED: Final = 50
_PUBLIC_AGE: Final = timedelta(minutes=5)
_TICKET: Final = {
    DRAFT_TICKET_HEADER: {
        "description": "With a draft that can be submitted: for identity, with the signature, within 15 minutes",
        "schema": {"type": "string"},
    }
}

blp = Blueprint("application", __name__, description="Renewals of e-Cert (Server) certificates")
not_modified = blp.alt_response(HTTPStatus.NOT_MODIFIED, description="Unchanged since the `ETag` in `If-None-Match`")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """The key of draft tickets and entitlements, the keys that verify them, limits of eligibility, and lead times."""

    key: SigningKey
    jwks: Mapping[str, Any]
    limits: Limits
    lead: LeadTimes


@blp.get("/terms")
@for_everyone
@not_modified
@blp.response(200, TermsSchema)
def show_current_terms() -> flask.Response:
    """Return the terms of new applications; public."""
    return _public(terms.find())


@blp.get("/terms/<version>")
@for_everyone
@refuses(TermsNotFound)
@not_modified
@blp.response(200, TermsSchema)
def show_terms(version: str) -> flask.Response:
    """Return the terms of a version, byte for byte: the signed document contains their SHA-256; public."""
    return _public(terms.find(version))


@blp.get("/prices")
@for_everyone
@blp.response(200, PriceSchema(many=True))
def list_prices() -> list[Price]:
    """Return the fees in force; public."""
    with request.transaction() as tx:
        return prices.in_force(price_store.find_prices(tx.conn), tx.now)


@blp.get("/subscriptions")
@signed_in
@blp.response(200, EligibleSchema(many=True))
def list_subscriptions() -> list[dict[str, Any]]:
    """Return the subscriber's certificates, each with its eligibility for renewal and reissue: the reason if there is
    none.
    """
    caller = request.caller()
    with request.transaction() as tx:
        found = store.find_subscriptions(tx.conn, caller.subscriber_id)
    return [_judged(tx, subscription, renewal_id, caller) for subscription, renewal_id in found]


def _judged(tx: Tx, subscription: Subscription, renewal_id: RenewalId | None, caller: Caller) -> dict[str, Any]:
    busy, limits = renewal_id is not None, request.deps(Deps).limits
    verdict = eligibility.judge(subscription, being_renewed=busy, caller=caller, now=tx.now, limits=limits)
    reissue_reason = eligibility.judge_reissue(subscription, being_renewed=busy, caller=caller, now=tx.now)
    return (
        vars(subscription)
        | vars(verdict)
        | _start(subscription, tx.now)
        | {
            "advice": verdict.advice,
            "reissue_reason": reissue_reason,
            "key_sha256": subscription.key_sha256,
            "renewal_id": renewal_id,
        }
    )


@blp.post("/renewals")
@signed_in
@refuses(NotEligible, TooEarly, NoAdditionalServers, ServerNamesFixed, ServerNamesRefused)
@commands.in_one_transaction
@blp.arguments(DraftSchema)
@blp.response(201, RenewalSchema)
def draft_renewal(command: DraftRenewal) -> dict[str, Any]:
    """Draft a renewal. Returns its quote and its state."""
    made = submission.draft_renewal(commands.tx(), command, request.caller(), limits=request.deps(Deps).limits)
    return _shown(commands.tx(), made)


@blp.get("/renewals")
@signed_in
@blp.response(200, RenewalSummarySchema(many=True))
def list_renewals() -> list[Renewal]:
    """Return the subscriber's newest renewals."""
    caller = request.caller()
    with request.transaction() as tx:
        return store.find_renewals(tx.conn, caller.subscriber_id, LISTED)


@blp.get("/renewals/<uuid:renewal_id>")
@signed_in
@refuses(RenewalNotFound)
@blp.response(200, RenewalSchema)
def show_renewal(renewal_id: uuid.UUID) -> dict[str, Any]:
    """Return a renewal with its items and its timeline."""
    caller = request.caller()
    with request.transaction() as tx:
        return _shown(tx, _own(tx.conn, renewal_id, caller))


@blp.get("/renewals/<uuid:renewal_id>/document")
@signed_in
@refuses(RenewalNotFound)
@blp.response(200, DocumentSchema, headers=_TICKET)
def show_document(renewal_id: uuid.UUID) -> flask.Response:
    """Return the document to sign, byte for byte (RFC 8785); a draft's comes with the ticket that identity requires."""
    caller = request.caller()
    with request.transaction() as tx:
        renewal = _own(tx.conn, renewal_id, caller)
        ticket = tickets.issue(tx, renewal, key=request.deps(Deps).key)
    response = flask.Response(renewal.document, content_type="application/json")
    if ticket is not None:
        response.headers[DRAFT_TICKET_HEADER] = ticket
    return response


@blp.post("/renewals/<uuid:renewal_id>/submission")
@signed_in
@refuses(RenewalNotFound, InvalidTransition, WrongAttestation, DocumentTooOld, NotEligible, TooEarly)
@commands.in_one_transaction
@blp.arguments(SubmissionSchema)
@blp.response(200, RenewalSchema)
def submit_renewal(body: dict[str, str], renewal_id: uuid.UUID) -> dict[str, Any]:
    """Submit the signed application."""
    renewal = submission.submit_renewal(
        commands.tx(),
        RenewalId(renewal_id),
        body["attestation"],
        request.caller(),
        keys=request.runtime().keys,
        limits=request.deps(Deps).limits,
        key=request.deps(Deps).key,
    )
    return _shown(commands.tx(), renewal)


@blp.post("/renewals/<uuid:renewal_id>/cancellation")
@signed_in
@refuses(RenewalNotFound, InvalidTransition)
@commands.in_one_transaction
@blp.response(202, RenewalSchema)
def cancel_renewal(renewal_id: uuid.UUID) -> dict[str, Any]:
    """Request the cancellation; the state shows its outcome later."""
    return _shown(commands.tx(), handlers.cancel(commands.tx(), RenewalId(renewal_id), request.caller()))


@blp.get("/jwks")
@for_everyone
@blp.response(200, KeySetSchema)
def show_keys() -> Mapping[str, Any]:
    """Return the public keys that verify draft tickets (RFC 7517)."""
    return request.deps(Deps).jwks


def _public(found: Terms) -> flask.Response:
    response = flask.Response(found.body, content_type="application/json")
    response.set_etag(found.sha256)
    response.cache_control.public = True
    response.cache_control.max_age = int(_PUBLIC_AGE.total_seconds())
    response.make_conditional(flask.request)
    return response


def _own(conn: Conn, renewal_id: uuid.UUID, caller: Caller) -> Renewal:
    renewal = store.find_renewal(conn, RenewalId(renewal_id))
    if renewal is None or renewal.subscriber_id != caller.subscriber_id:
        raise RenewalNotFound("there is no such renewal")
    return renewal


def _start(subscription: Subscription, now: datetime) -> dict[str, Any]:
    last_day, lead = subscription.period.last, request.deps(Deps).lead
    return {
        "latest_safe_start": latest_safe_start(last_day, lead),
        "slack_days": slack_days(today(now), last_day, lead),
    }


def _shown(tx: Tx, renewal: Renewal) -> dict[str, Any]:
    deadline = store.find_deadline(tx.conn, renewal.id)
    waits_until = deadline if renewal.state is RenewalState.AWAITING_CSRS else None
    items, timeline = store.find_items(tx.conn, renewal.id), timeline_store.find_timeline(tx.conn, renewal.id)
    table = price_store.find_prices(tx.conn)
    slack = slack_of(renewal, items, timeline, now=tx.now, lead=request.deps(Deps).lead)
    return vars(renewal) | {
        "submit_before": renewal.submit_before,
        "deadline": deadline,
        "latest_safe_start": None if slack is None else slack.latest_safe_start,
        "slack_days": None if slack is None else slack.days,
        "items": [
            vars(item)
            | {"waits_until": waits_until if item.obstacles else None, "quote": quotes.lines_of(renewal, item, table)}
            for item in items
        ],
        "refunds": store.find_refunds(tx.conn, renewal.id),
        "timeline": timeline,
    }
