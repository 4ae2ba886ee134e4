"""The HTTP contract: every answer of a service's app is checked against the app's own OpenAPI document.

Flask sends a signal for each answer of every app in the process, so one subscriber sees them all: those to test
clients and, in a process that has `tests/startup` on its path, those over real HTTP.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import flask
import jsonschema_rs

from shared.web import problems

_JSON: Final = re.compile(r"application/([a-z.-]+\+)?json")
_RULE: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_Validators = dict[tuple[str, str, int, str], jsonschema_rs.Draft202012Validator]


@dataclass
class Contract:
    """An app's OpenAPI document, with the validators made of it so far."""

    document: Mapping[str, Any]
    _compiled: _Validators = field(default_factory=dict)

    def fault(self, path: str, method: str, response: flask.Response) -> str | None:
        """Return how the answer differs from the document; None if it does not. `path` is the document's key."""
        operation = self.document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            return "the document has no such operation"
        described = operation["responses"].get(str(response.status_code))
        if described is None:
            return f"the status is not described: {response.get_data(as_text=True)[:300]}"
        described = self._resolved(described, "responses")
        return self._missing_header(described, response) or self._other_content(path, method, described, response)

    def _resolved(self, described: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
        """Return the target of a reference; anything else as it is."""
        if "$ref" not in described:
            return described
        found: Mapping[str, Any] = self.document["components"][kind][described["$ref"].rpartition("/")[2]]
        return found

    def _missing_header(self, described: Mapping[str, Any], response: flask.Response) -> str | None:
        headers = {name: self._resolved(each, "headers") for name, each in described.get("headers", {}).items()}
        missing = [name for name, each in headers.items() if each.get("required") and name not in response.headers]
        return f"headers are missing: {missing}" if missing else None

    def _other_content(
        self, path: str, method: str, described: Mapping[str, Any], response: flask.Response
    ) -> str | None:
        content = described.get("content", {})
        # Of a 304 the server drops the body.
        body = b"" if response.status_code == 304 else response.get_data()
        if not content:
            return f"a body where none is described: {body[:300]!r}" if body else None
        media_type = response.mimetype or ""
        if media_type not in content:
            return f"media type {media_type}, not one of {sorted(content)}"
        if not _JSON.fullmatch(media_type):
            return None
        return self._other_body(path, method, response.status_code, media_type, body)

    def _other_body(self, path: str, method: str, status: int, media_type: str, body: bytes) -> str | None:
        key = (path, method.lower(), status, media_type)
        if key not in self._compiled:
            responses = self.document["paths"][path][method.lower()]["responses"]
            content = self._resolved(responses[str(status)], "responses")["content"]
            schema = {"components": self.document["components"], **content[media_type].get("schema", {})}
            self._compiled[key] = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        error = next(self._compiled[key].iter_errors(json.loads(body)), None)
        return None if error is None else f"{error.message[:300]} in {body[:300]!r}"


def document_of(app: flask.Flask) -> dict[str, Any]:
    """Return the app's document as a client reads it."""
    spec = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec
    found: dict[str, Any] = json.loads(json.dumps(spec.to_dict()))
    return found


@dataclass
class Checker:
    """All answers of this process so far; `report` gets a line for each that broke its contract."""

    report: Callable[[str], None]
    _contracts: dict[tuple[str, ...], Contract] = field(default_factory=dict)

    def listen(self) -> None:
        """Check every answer from now on."""
        flask.request_finished.connect(self._check, weak=False)

    def _check(self, app: flask.Flask, response: flask.Response, **_: Any) -> None:
        rule, request = flask.request.url_rule, flask.request
        if "flask-smorest" not in app.extensions or request.method in ("OPTIONS", "HEAD"):
            return
        if rule is None:
            fault = _fault_without_operation(response)
        elif rule.endpoint.startswith("api-docs"):
            return
        else:
            fault = self._contract(app).fault(_RULE.sub(r"{\1}", rule.rule), request.method, response)
        if fault is not None:
            path = request.path if rule is None else rule.rule
            self.report(f"{app.name}: {request.method} {path} {response.status_code}: {fault}")

    def _contract(self, app: flask.Flask) -> Contract:
        key = (app.import_name, app.config["OPENAPI_URL_PREFIX"], *app.blueprints)
        if key not in self._contracts:
            self._contracts[key] = Contract(document_of(app))
        return self._contracts[key]


def _fault_without_operation(response: flask.Response) -> str | None:
    """Return the fault of an answer to an unknown path or method, which must be a problem."""
    if response.mimetype != problems.MEDIA_TYPE or response.status_code not in (400, 404, 405, 413, 308):
        return f"{response.mimetype} where nothing is"
    return None
