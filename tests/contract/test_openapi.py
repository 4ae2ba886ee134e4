"""Every service's OpenAPI document: security, hosts, and each problem of the service's table at some operation."""

from collections.abc import Iterator
from typing import Any

import flask
import jsonschema_rs
import pytest
from psycopg_pool import ConnectionPool

from deploy.local import stack
from devtools.docs.desk_document import operator_app
from services.application import api as application
from services.identity import api as identity
from services.issuance import api as issuance
from services.issuance.feed import api as feed
from services.payment import api as payment
from shared.errors import Refused
from shared.security.tokens import KeySet
from shared.web import problems
from shared.web.app import create_app
from shared.web.openapi import Blueprint, refuses
from shared.web.problems import ProblemTable
from tests.support.builders import FINGERPRINTS
from tests.support.http_contract import Contract, document_of

APIS = {
    "identity": identity,
    "application": application,
    "payment": payment,
    "issuance": issuance,
    "issuance-feed": feed,
}
OPERATORS = [f"{name}-operators" for name in stack.OPERATED]
# Said in redirects alone.
BY_REDIRECT = {"invalid-request"}


def make_app(blueprint: Blueprint, table: ProblemTable, service: str = "any", **options: Any) -> flask.Flask:
    return create_app(
        service,
        blueprints=[blueprint],
        problem_table=table,
        pool=ConnectionPool("", open=False),
        keys=KeySet(keys={}),
        fingerprints=FINGERPRINTS,
        deps=None,
        **options,
    )


def document(name: str) -> dict[str, Any]:
    if name in APIS:
        app = make_app(APIS[name].blp, APIS[name].PROBLEMS, name.removesuffix("-feed"))
    else:
        app = operator_app(name.removesuffix("-operators"))
    return document_of(app)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "post"):
                yield f"{method} {path}", operation


@pytest.mark.parametrize("name", [*APIS, *OPERATORS])
def test_every_operation_documents_its_callers_and_responses(name: str) -> None:
    found = document(name)
    schemes = found["components"].get("securitySchemes", {})
    assert found["servers"]
    for operation, described in operations(found):
        assert {scheme for each in described["security"] for scheme in each} <= set(schemes), operation
        assert {"400", "413", "500", "503", "default"} <= set(described["responses"]), operation
        assert ("401" in described["responses"]) == any(
            scheme.endswith("_token") for each in described["security"] for scheme in each
        ), operation
        for status, response in described["responses"].items():
            bare = status in ("204", "304") or "$ref" in response
            assert bare or response["content"], (operation, status)
    for schema in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize("name", APIS)
def test_every_problem_of_a_service_is_documented_at_an_operation(name: str) -> None:
    listed = {
        schema["properties"]["type"]["const"]
        for component, schema in document(name)["components"]["schemas"].items()
        if component.startswith("Problem-")
    }
    known = {problem.type for problem in APIS[name].PROBLEMS.values() if problem.slug not in BY_REDIRECT}
    assert known - listed == set()


class Sad(Refused):
    """Refused by the service below."""

    reason = "sad"

    def __init__(self, **members: object) -> None:
        super().__init__("sad")
        self.extensions = members


def small_app() -> flask.Flask:
    blueprint = Blueprint("small", __name__)

    @blueprint.get("/moods/<mood>")  # type: ignore[untyped-decorator]
    @refuses(Sad)
    @blueprint.response(200, {"type": "object", "required": ["mood"]})  # type: ignore[untyped-decorator]
    def show(mood: str) -> flask.Response:
        match mood:
            case "sad":
                raise Sad(why="rain")
            case "undescribed":
                raise Sad(why="rain", who="me")
            case "lost":
                return flask.make_response({}, 404)
            case "text":
                return flask.make_response("mood", 200)
            case "bare":
                return flask.make_response({}, 200)
        return flask.make_response({"mood": mood}, 200)

    members = {"why": problems.one_of(["rain"], "Why")}
    return make_app(blueprint, {Sad: problems.Problem(problems.INVALID.status, "sad", "Sad", members=members)})


@pytest.mark.parametrize(
    ("mood", "fault"),
    [
        ("glad", None),
        ("sad", None),
        ("undescribed", "'who' was unexpected"),
        ("lost", "the status is not described"),
        ("text", "media type text/html"),
        ("bare", '"mood" is a required property'),
    ],
)
def test_answer_that_differs_from_its_document_is_found(mood: str, fault: str | None) -> None:
    app = small_app()
    with app.test_request_context(f"/any/v1/moods/{mood}"):
        response = flask.make_response(app.dispatch_request()) if mood not in ("sad", "undescribed") else _refused(app)
        found = Contract(document_of(app)).fault("/any/v1/moods/{mood}", "GET", _ended(response))
    assert (found is None) if fault is None else (found is not None and fault in found)


def _refused(app: flask.Flask) -> flask.Response:
    try:
        app.dispatch_request()
    except Sad as error:
        return flask.make_response(app.handle_user_exception(error))
    raise AssertionError


def _ended(response: flask.Response) -> flask.Response:
    response.headers["X-Request-Id"] = "any"
    return response
