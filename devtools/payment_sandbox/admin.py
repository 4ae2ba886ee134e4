"""Administration of the sandbox for tests: order faults, count effects, list webhooks."""

import time
from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, jsonify, request
from marshmallow import Schema, fields, validate

from devtools.payment_sandbox import api, faults, sessions
from devtools.payment_sandbox.sessions import Failure

blp: Final = Blueprint("admin", __name__, url_prefix="/admin")
blp.before_request(api.authenticate)


class FaultSchema(Schema):
    operation = fields.String(required=True, validate=validate.OneOf(faults.KINDS))
    kind = fields.String(required=True)
    times = fields.Integer(load_default=1, strict=True, validate=validate.Range(1, 10_000))
    seconds = fields.Float(load_default=0, validate=validate.Range(0, 600))


@blp.post("/faults")
def order_fault() -> tuple[Response, int]:
    """Order a fault for the next calls of an operation."""
    order = api.parsed(FaultSchema())
    if order["kind"] not in faults.KINDS[str(order["operation"])]:
        kinds = ", ".join(faults.KINDS[str(order["operation"])])
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_fault", f"This operation has the faults {kinds}")
    with api.shop().store.transaction() as conn:
        conn.execute(
            "INSERT INTO faults (operation, kind, remaining, seconds) VALUES (:operation, :kind, :times, :seconds)",
            order,
        )
    return jsonify(order), HTTPStatus.CREATED


@blp.delete("/faults")
def clear_faults() -> tuple[str, int]:
    """Cancel all ordered faults."""
    with api.shop().store.transaction() as conn:
        conn.execute("DELETE FROM faults")
    return "", HTTPStatus.NO_CONTENT


class RefundEndSchema(Schema):
    reference = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["succeeded", *faults.REFUND_STATES]))


@blp.post("/refunds")
def settle_refunds() -> Response:
    """Settle pending refunds."""
    order = api.parsed(RefundEndSchema())
    with api.shop().store.transaction() as conn:
        count = sessions.settle_refunds(conn, str(order["reference"]), str(order["status"]), now=time.time())
    return jsonify({"settled": count})


@blp.delete("/keys")
def forget_keys() -> tuple[str, int]:
    """Delete all idempotency keys, as a payment company may after a day."""
    with api.shop().store.transaction() as conn:
        conn.execute("DELETE FROM answers")
    return "", HTTPStatus.NO_CONTENT


@blp.get("/effects")
def list_effects() -> Response:
    """Return what was really done: sessions opened, captures, refunds; one row for each effect."""
    reference = request.args.get("reference")
    with api.shop().store.reading() as conn:
        rows = conn.execute(
            "SELECT kind, idempotency_key, session_id, reference, amount_minor FROM effects"
            " WHERE :reference IS NULL OR reference = :reference ORDER BY id",
            {"reference": reference},
        ).fetchall()
    return jsonify({"data": [dict(row) for row in rows]})


@blp.get("/webhooks")
def list_webhooks() -> Response:
    """Return the queued and delivered webhooks."""
    with api.shop().store.reading() as conn:
        rows = conn.execute(
            "SELECT webhook_id, body, attempts, delivered, last_status FROM deliveries ORDER BY id"
        ).fetchall()
    return jsonify({"data": [dict(row) for row in rows]})
