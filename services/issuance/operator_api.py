"""issuance's own part of the operator API: void a lost letter's PIN, and have another one made."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from marshmallow import Schema, fields

from services.issuance import pin_reissue
from services.issuance.pin_reissue import OtherEnvelope, VoidReason
from services.issuance.refusals import InvalidTransition, OrderNotFound
from shared.operators.operator_api import Operations
from shared.operators.schemas import ReasonSchema
from shared.operators.staff import current, operation
from shared.web import commands
from shared.web.openapi import Blueprint, refuses
from shared.web.problems import Problem, ProblemTable

PROBLEMS: Final[ProblemTable] = {
    OrderNotFound: Problem(HTTPStatus.NOT_FOUND, OrderNotFound.reason, "Unknown order"),
    InvalidTransition: Problem(HTTPStatus.CONFLICT, InvalidTransition.reason, "Order no longer awaits a CSR"),
    OtherEnvelope: Problem(HTTPStatus.CONFLICT, OtherEnvelope.reason, "Letter already replaced"),
}
REISSUE_PIN: Final = "reissue-pin"

blp: Final = Blueprint("pins", __name__, description="PINs")


class ReissueSchema(ReasonSchema):
    """The letter's server name, the reason for voiding its PIN, and an explanation."""

    server_name = fields.String(required=True)
    envelope_id = fields.UUID(required=True, metadata={"description": "The letter whose PIN is voided"})
    what = fields.Enum(VoidReason, by_value=True, required=True)


class ReissuedSchema(Schema):
    """The envelope of the new PIN."""

    envelope_id = fields.UUID(required=True)


@blp.post("/orders/<uuid:item_id>/pins")
@refuses(OrderNotFound, InvalidTransition, OtherEnvelope)
@operation(REISSUE_PIN)
@commands.in_one_transaction
@blp.arguments(ReissueSchema)
@blp.response(HTTPStatus.CREATED, ReissuedSchema)
def void_letter(body: Mapping[str, Any], item_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Void the letter's PIN, and have another made and posted."""
    made = pin_reissue.reissue_pin(
        commands.tx(),
        str(item_id),
        body["server_name"],
        body["what"],
        current().actor,
        of=body["envelope_id"],
        note=body["reason"],
    )
    return {"envelope_id": made}


OPERATIONS: Final = Operations(blueprints=(blp,), problems=PROBLEMS)
