"""Helpers of the desk's pages: the signed-in member of staff, transactions, forms and templates."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import flask
from werkzeug.wrappers import Response

from backoffice.desk.operators import Operators, Refusal
from backoffice.desk.roles import Action, allowed
from backoffice.desk.settings import Settings
from backoffice.desk.staff import Member, Trust
from shared.db import Pool
from shared.errors import Refused
from shared.tx import Clock, Tx, utc_now


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py."""

    settings: Settings
    pool: Pool
    trust: Trust
    operators: Operators
    clock: Clock = utc_now


class NotAllowed(Refused):
    """None of the member's roles allows this."""

    reason = "not-allowed"


class NotThere(Refused):
    """The service has nothing at this address."""

    reason = "not-there"


class ForeignForm(Refused):
    """The form was not on a page of the desk."""

    reason = "foreign-form"


def deps() -> Deps:
    """Return the desk's dependencies."""
    return cast(Deps, flask.current_app.extensions["desk"])


def member() -> Member:
    """Return the signed-in member of staff."""
    return cast(Member, flask.g.member)


def may(action: str) -> bool:
    """Return whether the member of staff may take this action; for links on a page.

    Each page checks its own action again.
    """
    return allowed(member().roles, Action(action))


@contextmanager
def transaction() -> Iterator[Tx]:
    """Yield a transaction for this request."""
    with deps().pool.connection() as conn, conn.transaction():
        yield Tx(conn=conn, now=deps().clock(), new_id=uuid.uuid4, causation_id=flask.g.request_id)


def show(
    template: str, *, status: HTTPStatus = HTTPStatus.OK, errors: Mapping[str, str] | None = None, **values: Any
) -> flask.Response:
    """Return a page; with errors (control's id → what to do) its status is 422."""
    body = flask.render_template(template, errors=errors or {}, **values)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else status
    return flask.Response(body, status, content_type="text/html; charset=utf-8")


def words_of(refusal: Refusal) -> str:
    """Return the text for staff about a service's refusal."""
    return f"{refusal.title}: {refusal.detail}" if refusal.detail else refusal.title


def redirect(endpoint: str, **values: Any) -> Response:
    """Redirect to a page after a form."""
    return flask.redirect(flask.url_for(endpoint, **values), HTTPStatus.SEE_OTHER)


def given(form: Mapping[str, str], name: str, *, longest: int = 500) -> str:
    """Return a field of a form as one clean text."""
    return form.get(name, "").replace("\0", "").strip()[:longest]


def after() -> uuid.UUID | None:
    """Return the key after which this page of a list begins."""
    try:
        return uuid.UUID(flask.request.args["after"]) if "after" in flask.request.args else None
    except ValueError:
        flask.abort(HTTPStatus.NOT_FOUND)
