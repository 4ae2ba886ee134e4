"""OpenAPI description of an operation beside its body: security, host, headers, and each problem by its type."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final, TypeVar

import flask
import flask_smorest

from shared.security.tokens import TokenRefused
from shared.validation.parsing_pool import TooCostly
from shared.web import problems
from shared.web.client_certificate import ClientCertificateMalformed, ClientCertificateMissing
from shared.web.problems import Problem

View = TypeVar("View", bound=Callable[..., Any])

# The document is served by the host that serves its operations.
SAME_HOST: Final = ({"url": "/", "description": "The host that serves this document"},)
SIGN_IN_HOST: Final = {
    "url": "https://{host}",
    "description": "The sign-in host: it alone asks for the client certificate",
    "variables": {"host": {"default": "signin.ecert.localhost:8443"}},
}
SECURITY_SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From identity"},
    "client_certificate": {"type": "mutualTLS", "description": "The client certificate of the TLS connection"},
    "staff_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "From the desk: for one action at one service, for a minute",
    },
}
# Problems of every operation.
_COMMON: Final = (
    problems.MALFORMED,
    problems.TOO_LARGE,
    problems.HEADERS_TOO_LARGE,
    problems.INTERNAL,
    problems.UNAVAILABLE,
)
_TEXT: Final = {"type": "string"}
_REQUEST_ID: Final = {"description": "Names this request in our logs", "required": True, "schema": _TEXT}
_RETRY_AFTER: Final = {"description": "Seconds to wait", "required": True, "schema": _TEXT}
_AUTHENTICATE: Final = {"description": "RFC 6750", "required": True, "schema": _TEXT}


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest ships no types
    """Blueprint whose operations document their problems."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(_complete)


def refuses(*kinds: type[Exception]) -> Callable[[View], View]:
    """Document the failures of an operation, each with its problem in the service's table."""

    def mark(view: View) -> View:
        _doc(view).setdefault("refusals", []).extend(kinds)
        return view

    return mark


def for_everyone(view: View) -> View:
    """Document that no credentials are needed."""
    _manual(view)["security"] = []
    return view


def signed_in(view: View) -> View:
    """Document that identity's access token is needed."""
    _manual(view)["security"] = [{"access_token": []}]
    return refuses(TokenRefused)(view)


def by_staff(view: View) -> View:
    """Document that the desk's token for one action is needed."""
    _manual(view)["security"] = [{"staff_token": []}]
    return refuses(TokenRefused)(view)


def by_client_certificate(*servers: Mapping[str, Any]) -> Callable[[View], View]:
    """Document that the connection's client certificate authenticates, and which hosts request one."""

    def mark(view: View) -> View:
        _manual(view)["security"] = [{"client_certificate": []}]
        if servers:
            _manual(view)["servers"] = [dict(server) for server in servers]
        return refuses(ClientCertificateMissing, ClientCertificateMalformed, TooCostly)(view)

    return mark


def takes_header(name: str, description: str) -> Callable[[View], View]:
    """Document a request header that the operation needs."""

    def mark(view: View) -> View:
        parameter = {"name": name, "in": "header", "required": True, "description": description, "schema": _TEXT}
        add_parameter(view, parameter)
        return view

    return mark


def add_parameter(view: View, parameter: Mapping[str, Any]) -> None:
    """Document another parameter."""
    _manual(view).setdefault("parameters", []).append(parameter)


def _doc(view: Callable[..., Any]) -> dict[str, Any]:
    """Return the view's annotations, where flask-smorest looks for them; a copy, since decorators would share them."""
    notes: dict[str, Any] = deepcopy(getattr(view, "_apidoc", {}))
    view._apidoc = notes  # type: ignore[attr-defined]
    return notes


def _manual(view: Callable[..., Any]) -> dict[str, Any]:
    manual: dict[str, Any] = _doc(view).setdefault("manual_doc", {})
    return manual


def _complete(
    doc: dict[str, Any], doc_info: Mapping[str, Any], *, app: flask.Flask, spec: Any, **_: Any
) -> dict[str, Any]:
    """Return the operation with its problems by status and the headers of its answers; declares its
    security schemes.
    """
    table = app.extensions["ecert"].problems
    found = [*_COMMON, *(problems.of_kind(table, kind) for kind in doc_info.get("refusals", ()))]
    if "arguments" in doc_info:
        found += [problems.INVALID, problems.of_kind(table, TooCostly)]
    described = {_status(status): response for status, response in doc.get("responses", {}).items()}
    by_status: dict[HTTPStatus, dict[str, Problem]] = {}
    for problem in found:
        by_status.setdefault(problem.status, {})[problem.slug] = problem
    for status, of_status in sorted(by_status.items()):
        described[str(int(status))] = _response(of_status.values(), spec)
    _declare_header(spec)
    for response in described.values():
        if isinstance(response, dict):
            response.setdefault("headers", {})["X-Request-Id"] = "X-Request-Id"
    for scheme in {name for each in doc_info.get("manual_doc", {}).get("security", ()) for name in each}:
        spec.components.security_schemes.setdefault(scheme, dict(SECURITY_SCHEMES[scheme]))
    return doc | {"responses": dict(sorted(described.items()))}


def _status(status: Any) -> str:
    return str(status) if isinstance(status, str) else str(int(status))


def _response(found: Iterable[Problem], spec: Any) -> dict[str, Any]:
    """Return the response of one status, with its problems."""
    listed = sorted(found, key=lambda problem: problem.slug)
    schemas = [{"$ref": f"#/components/schemas/{_declare(problem, spec)}"} for problem in listed]
    headers: dict[str, Any] = {}
    if all(problem.retry_after is not None for problem in listed):
        headers["Retry-After"] = _RETRY_AFTER
    if listed[0].status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _AUTHENTICATE
    return {
        "description": "\n".join(f"- `{problem.slug}`: {problem.title}" for problem in listed),
        "headers": headers,
        "content": {problems.MEDIA_TYPE: {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}},
    }


def _declare(problem: Problem, spec: Any) -> str:
    """Return the name of this problem's component, created when first needed."""
    name = f"Problem-{int(problem.status)}-{problem.slug}"
    if name not in spec.components.schemas:
        spec.components.schema(name, _schema(problem))
    return name


def _schema(problem: Problem) -> dict[str, Any]:
    return {
        "type": "object",
        "description": problem.title,
        "properties": {
            "type": {"const": problem.type},
            "title": _TEXT,
            "status": {"const": int(problem.status)},
            "detail": {**_TEXT, "description": "For people; may change"},
            "request_id": _TEXT,
            **problem.members,
        },
        "required": ["type", "title", "status", *problem.members],
        "additionalProperties": False,
    }


def _declare_header(spec: Any) -> None:
    if "X-Request-Id" not in spec.components.headers:
        spec.components.header("X-Request-Id", _REQUEST_ID)
