"""Generator of docs/desk.md: roles, actions, pages and refusals of the desk, from the tables in the code."""

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import flask
from psycopg_pool import ConnectionPool

from backoffice.desk import words
from backoffice.desk.pages import audit, certificates, envelopes, evidence, held, renewals
from backoffice.desk.roles import MAY, PAGES, Action, Role
from backoffice.desk.staff import Fault
from deploy.local import stack
from deploy.postgres.roles import package
from shared.operators import operator_api
from shared.runtime.service import Service, applier
from shared.security.tokens import KeySet, TokenRefused
from shared.web import problems
from shared.web.idempotency import FingerprintKey
from shared.web.problems import ProblemTable

DESK: Final = Path("docs/desk.md")
_HEAD: Final = """# The desk

Generated from the tables in `backoffice/desk/roles.py`, `backoffice/desk/words.py` and the services' operator APIs by
`make docs`. Tests compare this page with the code, and try every combination, through the gateway and directly at the
services. Staff sign in with a certificate of the staff CA; the desk's database has their roles
(`backoffice.desk.main assign`). The reasons: `docs/adr/0028` to `0030`.
"""
_SERVICES: Final = """
A service checks actions, not roles: each request carries a token of the desk for one member of staff, one action and
one service. Paths begin with `/operator/v1/`, at the `operate` process of each service, which only the desk reaches.
Every service that consumes events has these:
"""
_REFUSALS: Final = """
The desk shows a refusal as a page, a service answers with a problem document (`urn:ecert:problem:…`). A refused sign-in
with a staff certificate is audited.
"""


def service(name: str) -> Service:
    """Return a service's descriptor."""
    found: Service = importlib.import_module(f"{package(name)}.main").SERVICE
    return found


def operator_app(name: str) -> flask.Flask:
    """Return a service's operator API for inspection, without a database."""
    made = service(name)
    return operator_api.create_app(
        name,
        pool=ConnectionPool("", open=False),
        desk_keys=KeySet(keys={}),
        fingerprints=FingerprintKey(b"f" * 32),
        applier=applier(name, ()) if made.subscriptions else None,
        operations=made.operations() if made.operations else None,
    )


def operator_routes(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and action of each route of a service's operator API."""
    app = operator_app(name)
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("api-docs"):
            view: Any = app.view_functions[rule.endpoint]
            yield _method(rule.methods), _path(rule.rule).removeprefix(f"{operator_api.PREFIX}/"), view.action


def _method(methods: Iterable[str] | None) -> str:
    (found,) = {*(methods or ())} - {"HEAD", "OPTIONS"}
    return found


def _path(rule: str) -> str:
    return re.sub(r"<(?:(\w+)[^:>]*:)?(\w+)>", lambda each: f"{{{_KINDS.get(each[1], each[2])}}}", rule)


_KINDS: Final = {"int": "id", "uuid": "uuid"}


def text() -> str:
    """Return the content of docs/desk.md."""
    return "\n".join(
        (
            _HEAD,
            "## Roles and actions\n",
            _table(
                ["", *Role], ([action, *("yes" if action in MAY[role] else "" for role in Role)] for action in Action)
            ),
            "## Pages\n",
            _table(["page", "action"], _pages()),
            "## Operator APIs of the services",
            _SERVICES,
            _table(["request", "action"], _requests(operator_routes("desk"))),
            *(
                f"At {name}, too:\n\n{_table(['request', 'action'], own)}"
                for name in stack.OPERATED
                if (own := _own(name))
            ),
            "## Refusals",
            _REFUSALS,
            _table(["status", "page of the desk", "problem of a service"], _refusals()),
        )
    )


def _pages() -> list[list[str]]:
    app = flask.Flask("desk", static_folder=None)
    for module in (certificates, renewals, envelopes, held, evidence, audit):
        app.register_blueprint(module.blp)
    return sorted(
        [f"`{_method(each.methods)} {_path(each.rule)}`", PAGES[each.endpoint]] for each in app.url_map.iter_rules()
    )


def _requests(routes: Iterable[tuple[str, str, str]]) -> list[list[str]]:
    return sorted([f"`{method} {path}`", action] for method, path, action in routes)


def _own(name: str) -> list[list[str]]:
    return _requests({*operator_routes(name)} - {*operator_routes("desk")})


def _refusals() -> Iterator[list[str]]:
    for fault in Fault:
        status = HTTPStatus.UNAUTHORIZED if fault is Fault.NO_CERTIFICATE else HTTPStatus.FORBIDDEN
        yield [str(status.value), words.REFUSALS[fault][0], ""]
    yield ["403", words.NOT_ALLOWED[0], ""]
    yield ["403", words.FOREIGN_FORM[0], ""]
    yield ["503", words.REVOCATION_UNKNOWN[0], ""]
    tables: list[ProblemTable] = [{TokenRefused: problems.COMMON[TokenRefused]}, operator_api.PROBLEMS]
    tables += [made().problems for name in stack.OPERATED if (made := service(name).operations)]
    known = {problem for table in tables for problem in table.values()}
    for problem in sorted(known, key=lambda each: (each.status, each.slug)):
        yield [str(problem.status.value), "", f"`{problem.slug}`: {problem.title}"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
