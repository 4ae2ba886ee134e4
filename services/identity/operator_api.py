"""identity's operator API: register evidence that is about to lapse, and its renewal with four-eyes approval."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import flask
from marshmallow import Schema, fields, validate

from services.identity import evidence_renewal
from services.identity.domain import RegisterEvidence
from services.identity.evidence_renewal import Row
from services.identity.evidence_store import EvidenceKind
from services.identity.refusals import EvidenceNotLater, EvidenceUnusable, RecordNotFound
from shared.operators.operator_api import Operations
from shared.operators.proposals import AlreadyProposed, ApprovalByAnotherPersonRequired, NoSuchProposal
from shared.operators.schemas import ProposedSchema, ReasonSchema
from shared.operators.staff import current, operation
from shared.web import commands, request
from shared.web.openapi import Blueprint, refuses
from shared.web.problems import Problem, ProblemTable

PROBLEMS: Final[ProblemTable] = {
    RecordNotFound: Problem(HTTPStatus.NOT_FOUND, RecordNotFound.reason, "Unknown subscriber or representative"),
    EvidenceUnusable: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, EvidenceUnusable.reason, "Evidence not usable"),
    EvidenceNotLater: Problem(HTTPStatus.CONFLICT, EvidenceNotLater.reason, "Evidence not later than the register's"),
}
SEE_EVIDENCE: Final = "see-evidence"
PROPOSE_EVIDENCE: Final = "propose-evidence"
DECIDE_EVIDENCE: Final = "decide-evidence"
_TEXT: Final = validate.Length(1, 200)

blp: Final = Blueprint("evidence", __name__, description="Register evidence")


class LapsingSchema(Schema):
    """Which records to list: one, if both `kind` and `id` are given."""

    kind = fields.Enum(EvidenceKind, by_value=True)
    id = fields.String(validate=validate.Length(1, 64))
    days = fields.Integer(load_default=60, validate=validate.Range(0, 400), metadata={"description": "Left at most"})
    limit = fields.Integer(load_default=200, validate=validate.Range(1, 500))


class ProposalSchema(Schema):
    """Evidence that awaits another person's approval."""

    id = fields.UUID(required=True)
    verified_at = fields.AwareDateTime(required=True)
    source = fields.String(required=True)
    checker = fields.String(required=True)
    reason = fields.String(required=True)
    proposed_by = fields.String(required=True)
    proposed_at = fields.AwareDateTime(required=True)


class RecordSchema(Schema):
    """A subscriber or an AR in office, with the evidence of the last verification; null if that is unknown."""

    kind = fields.Enum(EvidenceKind, by_value=True, required=True)
    id = fields.String(required=True)
    name = fields.String(required=True)
    subscriber_id = fields.String(required=True)
    verified_at = fields.AwareDateTime(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    checker = fields.String(required=True, allow_none=True)
    until = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Last moment at which it can be used"}
    )
    proposal = fields.Nested(ProposalSchema, required=True, allow_none=True)


class RecordsSchema(Schema):
    """Records by the age of their evidence, unknown ones first."""

    records = fields.List(fields.Nested(RecordSchema), required=True)


class ProposeSchema(ReasonSchema):
    """A verification that took place."""

    kind = fields.Enum(EvidenceKind, by_value=True, required=True)
    id = fields.String(required=True, validate=validate.Length(1, 64))
    verified_at = fields.AwareDateTime(required=True)
    source = fields.String(required=True, validate=_TEXT)
    checker = fields.String(required=True, validate=_TEXT)


@blp.get("/register-evidence")
@refuses(RecordNotFound)
@operation(SEE_EVIDENCE)
@blp.arguments(LapsingSchema, location="query")
@blp.response(HTTPStatus.OK, RecordsSchema)
def list_lapsing(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the records whose evidence is unknown or lapses soon, and those with an open proposal."""
    with request.transaction() as tx:
        if "kind" in query and "id" in query:
            rows = [evidence_renewal.find(tx, query["kind"], query["id"])]
        else:
            rows = evidence_renewal.lapsing(tx, within=timedelta(days=query["days"]), limit=query["limit"])
    return {"records": [_shown(each) for each in rows]}


@blp.post("/evidence-proposals")
@refuses(RecordNotFound, EvidenceUnusable, EvidenceNotLater, AlreadyProposed)
@operation(PROPOSE_EVIDENCE)
@commands.in_one_transaction
@blp.arguments(ProposeSchema)
@blp.response(HTTPStatus.CREATED, ProposedSchema)
def propose_evidence(body: Mapping[str, Any]) -> dict[str, uuid.UUID]:
    """Propose evidence of a new verification."""
    evidence = RegisterEvidence(verified_at=body["verified_at"], source=body["source"], checker=body["checker"])
    made = evidence_renewal.propose(
        commands.tx(), body["kind"], body["id"], evidence, actor=current().actor, reason=body["reason"]
    )
    return {"id": made}


@blp.post("/evidence-proposals/<uuid:proposal_id>/approval")
@refuses(NoSuchProposal, ApprovalByAnotherPersonRequired, RecordNotFound, EvidenceUnusable, EvidenceNotLater)
@operation(DECIDE_EVIDENCE)
@commands.in_one_transaction
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.NO_CONTENT)
def approve_evidence(body: Mapping[str, str], proposal_id: uuid.UUID) -> flask.Response:
    """Approve the evidence that another person proposed."""
    evidence_renewal.approve(commands.tx(), proposal_id, actor=current().actor, reason=body["reason"])
    return flask.Response(status=HTTPStatus.NO_CONTENT)


@blp.post("/evidence-proposals/<uuid:proposal_id>/rejection")
@refuses(NoSuchProposal)
@operation(DECIDE_EVIDENCE)
@commands.in_one_transaction
@blp.arguments(ReasonSchema)
@blp.response(HTTPStatus.NO_CONTENT)
def reject_evidence(body: Mapping[str, str], proposal_id: uuid.UUID) -> flask.Response:
    """Reject proposed evidence; the record keeps its own."""
    evidence_renewal.reject(commands.tx(), proposal_id, actor=current().actor, reason=body["reason"])
    return flask.Response(status=HTTPStatus.NO_CONTENT)


def _shown(row: Row) -> dict[str, Any]:
    shown = None if row.proposed is None else vars(row.proposed.proposal) | vars(row.proposed.evidence)
    return {**vars(row.record), "until": row.until, "proposal": shown}


OPERATIONS: Final = Operations(blueprints=(blp,), problems=PROBLEMS)
