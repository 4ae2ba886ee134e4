"""mailing's own part of the operator API: list posting batches, record returned letters."""

import uuid
from collections.abc import Mapping
from datetime import date
from http import HTTPStatus
from typing import Any, Final

from marshmallow import Schema, fields

from services.mailing import envelope_store, manifest, posting
from services.mailing.refusals import PostingRefused
from shared.operators.operator_api import Operations
from shared.operators.schemas import ReasonSchema
from shared.operators.staff import current, operation
from shared.vocabulary import HONG_KONG
from shared.web import commands, request
from shared.web.openapi import Blueprint, refuses
from shared.web.problems import Problem, ProblemTable

PROBLEMS: Final[ProblemTable] = {
    PostingRefused: Problem(HTTPStatus.CONFLICT, PostingRefused.reason, "Not consistent with the posting records"),
}
SEE_BATCHES: Final = "see-batches"
MARK_RETURNED: Final = "mark-returned"

blp: Final = Blueprint("post", __name__, description="PIN Envelopes")


class BatchSchema(Schema):
    """A posting batch, with the number of its letters in each state."""

    name = fields.String(required=True)
    state = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)
    printed = fields.Integer(required=True)
    posted = fields.Integer(required=True)
    returned = fields.Integer(required=True)
    dropped = fields.Integer(required=True)


class ReturnSchema(ReasonSchema):
    """The reason that the post wrote on the letter, and the date of its return."""

    on = fields.Date(required=True)


class ReturnedSchema(Schema):
    """Whether the return was new."""

    recorded = fields.Boolean(required=True)


@blp.get("/batches")
@operation(SEE_BATCHES)
@blp.response(HTTPStatus.OK, BatchSchema(many=True))
def list_batches() -> list[dict[str, Any]]:
    """Return the newest posting batches."""
    with request.transaction() as tx:
        found = envelope_store.list_batches(tx.conn)
    return [{**vars(batch), "name": manifest.batch_name(batch.number)} for batch in found]


@blp.post("/envelopes/<uuid:envelope_id>/return")
@refuses(PostingRefused)
@operation(MARK_RETURNED)
@commands.in_one_transaction
@blp.arguments(ReturnSchema)
@blp.response(HTTPStatus.OK, ReturnedSchema)
def mark_returned(body: Mapping[str, Any], envelope_id: uuid.UUID) -> dict[str, bool]:
    """Record a letter that the post returned."""
    day: date = body["on"]
    if day > commands.tx().now.astimezone(HONG_KONG).date():
        raise PostingRefused(f"{day} has not come yet")
    recorded = posting.record_returned(commands.tx(), envelope_id, body["reason"], day, actor=current().actor)
    return {"recorded": recorded}


OPERATIONS: Final = Operations(blueprints=(blp,), problems=PROBLEMS)
