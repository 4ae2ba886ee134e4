"""Session of a signed-in AR: who is signed in, whether the session is open, and its end."""

from http import HTTPStatus
from typing import Any

import flask

from services.identity import handlers, sessions
from services.identity.api.blueprint import blp, deps
from services.identity.refusals import OfficeEnded
from services.identity.schemas import CallerSchema
from shared.web import request
from shared.web.auth import claims_of
from shared.web.openapi import refuses, signed_in


@blp.get("/me")
@signed_in
@refuses(OfficeEnded)
@blp.response(200, CallerSchema)
def show_caller() -> dict[str, Any]:
    """Return the signed-in AR and their organisation, as in the register."""
    caller = request.caller()
    with request.transaction() as tx:
        ar, subscriber = handlers.find_caller(tx, caller)
    return {
        "subscriber": subscriber,
        "authorised_representative": ar,
        "certificate_sha256": caller.certificate_sha256,
    }


@blp.get("/session")
@signed_in
@blp.response(204)
def show_session() -> flask.Response:
    """Return whether the access token's session is open: 401 once it was ended, or a CRL lists its e-Cert."""
    with request.transaction() as tx:
        sessions.require_open(tx, _claims(), trust=deps().trust)
    return flask.Response(status=HTTPStatus.NO_CONTENT)


@blp.post("/session-ends")
@signed_in
@blp.response(204)
def end_session() -> flask.Response:
    """End the access token's session: the portal shows no signed-in page for it any more."""
    with request.transaction() as tx:
        sessions.end(tx, _claims())
    return flask.Response(status=HTTPStatus.NO_CONTENT)


def _claims() -> dict[str, Any]:
    request.caller()
    runtime = request.runtime()
    return claims_of(flask.request.headers.get("Authorization"), keys=runtime.keys, now=runtime.clock())
