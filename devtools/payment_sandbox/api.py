"""Merchant API of the sandbox."""

import hashlib
import hmac
import json
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, jsonify, request
from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.exceptions import HTTPException

from devtools.payment_sandbox import faults, sessions
from devtools.payment_sandbox.sessions import Failure, Json
from devtools.payment_sandbox.store import Store
from devtools.payment_sandbox.webhooks import Deliverer

blp: Final = Blueprint("api", __name__)
EXTENSION: Final = "payment-sandbox"
_REFERENCE: Final = validate.Regexp(re.compile(r"[A-Za-z0-9._:-]{1,100}\Z"))
# Implementation of a call; its last argument is the fault ordered for it, if any.
_Work = Callable[[sqlite3.Connection, Mapping[str, object], str, str], Json]


@dataclass(frozen=True)
class Shop:
    """Dependencies of the request handlers."""

    store: Store
    deliverer: Deliverer
    api_key: str
    public_url: str


def shop() -> Shop:
    """Return the dependencies of the running application."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Shop)
    return found


def _check_web_address(text: str) -> None:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise ValidationError("Not a plain http(s) address")


class CreateSchema(Schema):
    reference = fields.String(required=True, validate=_REFERENCE)
    amount_minor = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**12))
    currency = fields.String(required=True, validate=validate.Regexp(r"[A-Z]{3}\Z"))
    description = fields.String(required=True, validate=validate.Length(1, 200))
    return_url = fields.String(required=True, validate=[validate.Length(1, 500), _check_web_address])
    expires_at = fields.AwareDateTime(required=True, format="iso")


class CaptureSchema(Schema):
    amount_minor = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**12))
    currency = fields.String(required=True)


class RefundSchema(CaptureSchema):
    session_id = fields.String(required=True)
    reference = fields.String(required=True, validate=_REFERENCE)


@blp.before_request
def authenticate() -> None:
    """Require the merchant's secret key for every call of the API."""
    given = request.headers.get("Authorization", "").encode("latin-1", "replace")
    if not hmac.compare_digest(given, f"Bearer {shop().api_key}".encode()):
        raise Failure(HTTPStatus.UNAUTHORIZED, "bad_api_key", "The API key is missing or wrong")


@blp.get("/v1/account")
def show_account() -> Response:
    """Return the merchant's account, marked as a sandbox."""
    return jsonify({"id": "acct_sandbox", "livemode": False})


@blp.post("/v1/checkout-sessions")
def create_session() -> Response:
    """Open a checkout session."""

    def work(conn: sqlite3.Connection, body: Mapping[str, object], key: str, fault: str) -> Json:
        surcharge = 1 if fault == "wrong-amount" else 0
        session_id = sessions.create(conn, body, key=key, now=time.time(), surcharge=surcharge)
        return _shown(conn, session_id)

    return _perform("create", CreateSchema(), work, HTTPStatus.CREATED)


@blp.post("/v1/checkout-sessions/<session_id>/cancel")
def cancel_session(session_id: str) -> Response:
    """Cancel a session that is not paid."""

    def work(conn: sqlite3.Connection, _body: Mapping[str, object], _key: str, _fault: str) -> Json:
        sessions.cancel(conn, session_id, now=time.time())
        return _shown(conn, session_id)

    return _perform("cancel", Schema(), work, HTTPStatus.OK)


@blp.post("/v1/checkout-sessions/<session_id>/capture")
def capture_session(session_id: str) -> Response:
    """Capture the money of a paid session."""

    def work(conn: sqlite3.Connection, body: Mapping[str, object], key: str, _fault: str) -> Json:
        sessions.capture(conn, session_id, body, key=key, now=time.time())
        return _shown(conn, session_id)

    return _perform("capture", CaptureSchema(), work, HTTPStatus.OK)


@blp.post("/v1/refunds")
def create_refund() -> Response:
    """Create a refund."""

    def work(conn: sqlite3.Connection, body: Mapping[str, object], key: str, fault: str) -> Json:
        status = fault if fault in faults.REFUND_STATES else "succeeded"
        return sessions.refund_with_id(conn, sessions.refund(conn, body, key=key, now=time.time(), status=status))

    return _perform("refund", RefundSchema(), work, HTTPStatus.CREATED)


@blp.get("/v1/checkout-sessions/<session_id>")
def show_session(session_id: str) -> Response:
    """Return one session."""
    _meet_retrieve_fault()
    with shop().store.transaction() as conn:
        return jsonify(_shown(conn, session_id))


@blp.get("/v1/checkout-sessions")
def list_sessions() -> Response:
    """Return the sessions with the merchant's reference."""
    _meet_retrieve_fault()
    with shop().store.transaction() as conn:
        rows = sessions.with_reference(conn, request.args.get("reference", ""), now=time.time())
        return jsonify({"data": [sessions.shown(conn, row, shop().public_url) for row in rows]})


@blp.get("/v1/refunds")
def list_refunds() -> Response:
    """Return the refunds with the merchant's reference."""
    _meet_retrieve_fault()
    with shop().store.reading() as conn:
        return jsonify({"data": sessions.refunds_with_reference(conn, request.args.get("reference", ""))})


def fail(error: Failure) -> tuple[Response, int]:
    """Return a failure in the API's form."""
    return jsonify({"error": {"code": error.code, "message": str(error)}}), error.status


def fail_http(error: HTTPException) -> tuple[Response, int]:
    """Return Flask's own refusals (unknown path, wrong method, body too large) in the API's form."""
    return jsonify({"error": {"code": error.name.lower().replace(" ", "_"), "message": error.name}}), error.code or 500


def parsed(schema: Schema) -> dict[str, object]:
    """Return the request's JSON body, validated."""
    try:
        body = schema.load(json.loads(request.get_data() or b"{}"))
    except (ValidationError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        message = str(error) if isinstance(error, ValidationError) else "The body is not JSON"
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_request_body", message) from error
    assert isinstance(body, dict)
    return body


def _perform(operation: str, schema: Schema, work: _Work, status: HTTPStatus) -> Response:
    """Run the operation once for each idempotency key, with the fault ordered for this call."""
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= 200:
        raise Failure(HTTPStatus.BAD_REQUEST, "no_idempotency_key", "An Idempotency-Key is needed")
    body = parsed(schema)
    with shop().store.transaction() as conn:
        fault = faults.take(conn, operation)
    if fault is not None and fault.kind in {"error", "hang"}:
        _suffer(fault)
    with shop().store.transaction() as conn:
        answer = _replay(conn, key)
        if answer is None:
            kind = "" if fault is None else fault.kind
            answer = Response(json.dumps(work(conn, body, key, kind)), status, mimetype="application/json")
            _remember(conn, key, answer)
    shop().deliverer.wake.set()
    if fault is not None and fault.kind == "lost":
        _cut_connection()
    return answer


def _shown(conn: sqlite3.Connection, session_id: str) -> Json:
    return sessions.shown(conn, sessions.load(conn, session_id, now=time.time()), shop().public_url)


def _meet_retrieve_fault() -> None:
    with shop().store.transaction() as conn:
        fault = faults.take(conn, "retrieve")
    if fault is not None:
        _suffer(fault)


def _suffer(fault: faults.Fault) -> None:
    if fault.kind == "hang":
        time.sleep(fault.seconds)
        raise Failure(HTTPStatus.GATEWAY_TIMEOUT, "fault", "A fault was ordered: hang")
    raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", "A fault was ordered: error")


def _request_sha256() -> str:
    return hashlib.sha256(request.full_path.encode() + b"\n" + request.get_data()).hexdigest()


def _replay(conn: sqlite3.Connection, key: str) -> Response | None:
    row = conn.execute("SELECT request_sha256, status, body FROM answers WHERE idempotency_key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row["request_sha256"] != _request_sha256():
        raise Failure(HTTPStatus.CONFLICT, "idempotency_key_reused", "This key came with another request before")
    return Response(row["body"], row["status"], mimetype="application/json")


def _remember(conn: sqlite3.Connection, key: str, answer: Response) -> None:
    conn.execute(
        "INSERT INTO answers (idempotency_key, request_sha256, status, body) VALUES (?, ?, ?, ?)",
        (key, _request_sha256(), answer.status_code, answer.get_data(as_text=True)),
    )


def _cut_connection() -> None:
    """Close the connection without an answer (gunicorn provides its socket)."""
    connection = request.environ["gunicorn.socket"]
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)
