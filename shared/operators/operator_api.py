"""Operator API for held events: list, show, redrive; skip with four-eyes approval."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import flask

from shared.db import Pool
from shared.errors import Refused
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier
from shared.messaging.held_events import Cursor, HeldEvent, HeldEventNotFound
from shared.messaging.inbox import Place
from shared.operators import held_commands, redaction, skip_proposals
from shared.operators.held_commands import ChooseEvent, NotNext
from shared.operators.pagination import cut
from shared.operators.proposals import AlreadyProposed, ApprovalByAnotherPersonRequired, NoSuchProposal, Proposal
from shared.operators.schemas import (
    HeldDetailSchema,
    HeldPageSchema,
    PageSchema,
    ProgressSchema,
    ProposedSchema,
    ReasonSchema,
)
from shared.operators.staff import ActionRefused, current, operation
from shared.security.tokens import KeySet
from shared.tx import Clock, Tx, utc_now
from shared.web import app, commands, request
from shared.web.idempotency import FingerprintKey
from shared.web.openapi import Blueprint, refuses
from shared.web.problems import Problem, ProblemTable

PREFIX: Final = "/operator/v1"
SEE_HELD: Final = "see-held"
REDRIVE: Final = "redrive"
PROPOSE_SKIP: Final = "propose-skip"
DECIDE_SKIP: Final = "decide-skip"


class CursorUnknown(Refused):
    """The cursor is not the end of a page of this list."""

    reason = "cursor-unknown"


PROBLEMS: Final[ProblemTable] = {
    ActionRefused: Problem(HTTPStatus.FORBIDDEN, ActionRefused.reason, "Token does not allow this action"),
    HeldEventNotFound: Problem(HTTPStatus.NOT_FOUND, HeldEventNotFound.reason, "Unknown held event"),
    NotNext: Problem(HTTPStatus.CONFLICT, NotNext.reason, "Event is not next in sequence"),
    ChooseEvent: Problem(HTTPStatus.CONFLICT, ChooseEvent.reason, "Several held events share this sequence number"),
    AlreadyProposed: Problem(HTTPStatus.CONFLICT, AlreadyProposed.reason, "Already proposed"),
    NoSuchProposal: Problem(HTTPStatus.NOT_FOUND, NoSuchProposal.reason, "Unknown proposal"),
    ApprovalByAnotherPersonRequired: Problem(
        HTTPStatus.FORBIDDEN, ApprovalByAnotherPersonRequired.reason, "Approval by another person required"
    ),
    CursorUnknown: Problem(HTTPStatus.BAD_REQUEST, CursorUnknown.reason, "Unknown cursor"),
}

blp: Final = Blueprint("held", __name__, description="Held events")


@dataclass(frozen=True, kw_only=True)
class Operations:
    """A service's own part of its operator API."""

    blueprints: Sequence[Blueprint]
    problems: ProblemTable


def create_app(
    service: str,
    *,
    pool: Pool,
    desk_keys: KeySet,
    fingerprints: FingerprintKey,
    applier: Applier | None = None,
    operations: Operations | None = None,
    clock: Clock = utc_now,
) -> flask.Flask:
    """Return a service's operator API: held events if it consumes any, and its own operations."""
    return app.create_app(
        service,
        blueprints=[*([blp] if applier is not None else []), *(operations.blueprints if operations else ())],
        problem_table={**PROBLEMS, **(operations.problems if operations else {})},
        pool=pool,
        keys=desk_keys,
        fingerprints=fingerprints,
        deps=applier,
        clock=clock,
        prefix=PREFIX,
        account=lambda: current().actor,
    )


def _applier() -> Applier:
    """Return an applier for this request; it logs the applied events after the answer, and so after the commit."""
    made = replace(request.deps(Applier))

    @flask.after_this_request
    def tell(response: flask.Response) -> flask.Response:
        if response.status_code < HTTPStatus.BAD_REQUEST:
            made.tell()
        return response

    return made


@blp.get("/held-events")
@refuses(CursorUnknown)
@operation(SEE_HELD)
@blp.arguments(PageSchema, location="query")
@blp.response(HTTPStatus.OK, HeldPageSchema)
def list_held(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return held events by topic, key and sequence."""
    consumer, limit = _applier().consumer, page["limit"]
    with request.transaction() as tx:
        after = _read(page["after"]) if "after" in page else held_events.FIRST
        found = held_events.list_page(tx.conn, consumer=consumer, after=after, limit=limit + 1, with_data=False)
        proposals = skip_proposals.find_open(tx.conn)
    shown, last = cut(found, limit)
    return {
        "events": [_shown(each, proposals.get(each.id)) for each in shown],
        "next": None if last is None else _written(last.cursor),
    }


@blp.get("/held-events/<int:parked_id>")
@refuses(HeldEventNotFound)
@operation(SEE_HELD)
@blp.response(HTTPStatus.OK, HeldDetailSchema)
def show_held(parked_id: int) -> dict[str, Any]:
    """Return one held event, with its headers and data."""
    consumer = _applier().consumer
    with request.transaction() as tx:
        held_event = held_events.find(tx.conn, consumer, parked_id)
        proposals = skip_proposals.find_open(tx.conn)
    shown = _shown(held_event, proposals.get(held_event.id))
    return shown | {"headers": redaction.headers(held_event), "data": redaction.data(held_event)}


@blp.post("/held-events/<int:parked_id>/redrive")
@refuses(HeldEventNotFound, NotNext)
@operation(REDRIVE)
@commands.in_several_transactions
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.OK, ProgressSchema)
def redrive(body: Mapping[str, str], parked_id: int) -> dict[str, int]:
    """Apply the key's next held event again, and the events behind it. One that fails again stays held."""
    with request.transaction() as tx:
        place = held_events.find(tx.conn, _applier().consumer, parked_id).place
    held_commands.redrive(request.runtime().pool, _applier(), place, actor=current().actor, reason=body["reason"])
    with request.transaction() as tx:
        return _progress(tx, place)


@blp.post("/held-events/<int:parked_id>/skip-proposals")
@refuses(HeldEventNotFound, NotNext, AlreadyProposed)
@operation(PROPOSE_SKIP)
@commands.in_one_transaction
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.CREATED, ProposedSchema)
def propose_skip(body: Mapping[str, str], parked_id: int) -> dict[str, UUID]:
    """Propose to skip this event."""
    held_event = held_events.find(commands.tx().conn, _applier().consumer, parked_id)
    return {"id": skip_proposals.propose(commands.tx(), held_event, actor=current().actor, reason=body["reason"])}


@blp.post("/skip-proposals/<uuid:proposal_id>/confirmation")
@refuses(NoSuchProposal, ApprovalByAnotherPersonRequired, HeldEventNotFound, NotNext, ChooseEvent)
@operation(DECIDE_SKIP)
@commands.in_one_transaction
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.OK, ProgressSchema)
def confirm_skip(body: Mapping[str, str], proposal_id: UUID) -> dict[str, int]:
    """Approve the skip that another person proposed."""
    place, _ = skip_proposals.confirm(
        commands.tx(), _applier(), proposal_id, actor=current().actor, reason=body["reason"]
    )
    return _progress(commands.tx(), place)


@blp.post("/skip-proposals/<uuid:proposal_id>/rejection")
@refuses(NoSuchProposal)
@operation(DECIDE_SKIP)
@commands.in_one_transaction
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.NO_CONTENT)
def reject_skip(body: Mapping[str, str], proposal_id: UUID) -> flask.Response:
    """Reject the proposed skip; the event stays held."""
    skip_proposals.reject(commands.tx(), proposal_id, actor=current().actor, reason=body["reason"])
    return flask.Response(status=HTTPStatus.NO_CONTENT)


def _progress(tx: Tx, place: Place) -> dict[str, int]:
    last = inbox.lock(tx.conn, place)[0]
    return {"last_sequence": last, "held": len(held_events.find_of_key(tx.conn, place))}


def _shown(held_event: HeldEvent, proposal: Proposal | None) -> dict[str, Any]:
    return {
        "id": held_event.id,
        "topic": held_event.place.topic,
        "key": held_event.place.key,
        "sequence": held_event.sequence,
        "event_id": held_event.event_id,
        "type": redaction.type_of(held_event),
        "at": held_event.at,
        "reason": held_event.reason,
        "error": held_event.error,
        "parked_at": held_event.parked_at,
        "proposal": None if proposal is None else vars(proposal),
    }


def _written(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()


def _read(text: str) -> Cursor:
    try:
        topic, key, sequence, parked_id = json.loads(base64.urlsafe_b64decode(text.encode()))
        cursor = (str(topic), str(key), int(sequence), int(parked_id))
        (cursor[0] + cursor[1]).encode()
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CursorUnknown("`next` is no cursor of this list") from error
    if not 0 <= cursor[2] < 2**63 or not 0 <= cursor[3] < 2**63 or "\0" in cursor[0] + cursor[1]:
        raise CursorUnknown("`next` is no cursor of this list")
    return cursor
