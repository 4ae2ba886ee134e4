"""RFC 9457 for flask-smorest: every error is a problem document, in answers and in the OpenAPI document."""

from http import HTTPStatus
from typing import Any

import flask
from flask_smorest import Api
from marshmallow import INCLUDE, Schema, fields
from werkzeug.exceptions import HTTPException

from shared.validation import budgets
from shared.web import problems
from shared.web.problems import Problem

_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    class Meta:
        """Accepts further members."""

        unknown = INCLUDE

    type = fields.String(required=True, metadata={"description": "Stable URN of the kind of problem"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    errors = fields.Dict(metadata={"description": "What is wrong, by field"})
    request_id = fields.String()


class KeySchema(Schema):
    """A public key (RFC 7517)."""

    kty = fields.String(required=True)
    crv = fields.String(required=True)
    x = fields.String(required=True)
    y = fields.String(required=True)
    kid = fields.String(required=True)
    use = fields.String()
    alg = fields.String()


class KeySetSchema(Schema):
    """The public keys that verify a service's tokens."""

    keys = fields.List(fields.Nested(KeySchema), required=True)


class ProblemApi(Api):  # type: ignore[misc]  # flask-smorest ships no types
    """Api with problem+json as its error response."""

    ERROR_SCHEMA = ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> flask.Response:
        """Return Flask's and webargs's own errors as problems, with the headers that matter."""
        problem, errors = _of_http(error)
        response = render(problem, None, errors=errors)
        for name, value in error.get_headers(flask.request.environ):
            if name in _KEPT_HEADERS:
                response.headers[name] = value
        return response

    def _register_responses(self) -> None:
        """Document error responses with their own media type; the others keep JSON's."""
        self.DEFAULT_RESPONSE_CONTENT_TYPE: str = problems.MEDIA_TYPE
        super()._register_responses()
        del self.DEFAULT_RESPONSE_CONTENT_TYPE


def _of_http(error: HTTPException) -> tuple[Problem, Any]:
    code = error.code or 500
    errors = getattr(error, "data", {}).get("messages") if code == 422 else None
    if code == 422:
        return problems.INVALID, budgets.first_errors(errors)
    if code == 400:
        return problems.MALFORMED, None
    if code == 413:
        return problems.TOO_LARGE, None
    if code == 431:
        return problems.HEADERS_TOO_LARGE, None
    if code >= 500:
        return problems.INTERNAL, None
    status = HTTPStatus(code)
    return Problem(status, status.phrase.lower().replace(" ", "-"), status.phrase), None


def render(problem: Problem, detail: str | None, **extensions: Any) -> flask.Response:
    """Return a problem document as a response."""
    body = problem.body(detail, request_id=flask.g.get("request_id"), **extensions)
    response = flask.make_response(flask.json.dumps(body), int(problem.status))
    response.mimetype = problems.MEDIA_TYPE
    response.headers["Cache-Control"] = "no-store"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
