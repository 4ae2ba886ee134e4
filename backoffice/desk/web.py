"""What every page of the desk is made with: who is at the desk, the database, forms and pages."""

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
    """What main.py built."""

    settings: Settings
    pool: Pool
    trust: Trust
    operators: Operators
    clock: Clock = utc_now


class NotAllowed(Refused):
    """None of the member's roles may do this."""

    reason = "not-allowed"


class NotThere(Refused):
    """A service knows nothing under this address."""

    reason = "not-there"


class ForeignForm(Refused):
    """A form that was not on one of our pages."""

    reason = "foreign-form"


def deps() -> Deps:
    """The desk's own dependencies."""
    return cast(Deps, flask.current_app.extensions["desk"])


def member() -> Member:
    """Who is at the desk."""
    return cast(Member, flask.g.member)


def may(action: str) -> bool:
    """Whether they may do this; for what a page offers. The page itself asks again."""
    return allowed(member().roles, Action(action))


@contextmanager
def transaction() -> Iterator[Tx]:
    """A transaction of this request."""
    with deps().pool.connection() as conn, conn.transaction():
        yield Tx(conn=conn, now=deps().clock(), new_id=uuid.uuid4, causation_id=flask.g.request_id)


def show(
    template: str, *, status: HTTPStatus = HTTPStatus.OK, errors: Mapping[str, str] | None = None, **values: Any
) -> flask.Response:
    """A page; with errors (the control's id → what to do) it says 422."""
    body = flask.render_template(template, errors=errors or {}, **values)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else status
    return flask.Response(body, status, content_type="text/html; charset=utf-8")


def words_of(refusal: Refusal) -> str:
    """What a service's refusal means to whoever asked."""
    return f"{refusal.title}: {refusal.detail}" if refusal.detail else refusal.title


def redirect(endpoint: str, **values: Any) -> Response:
    """After a form: show a page by GET."""
    return flask.redirect(flask.url_for(endpoint, **values), HTTPStatus.SEE_OTHER)


def given(form: Mapping[str, str], name: str, *, longest: int = 500) -> str:
    """A field of a form as one clean text."""
    return form.get(name, "").replace("\0", "").strip()[:longest]


def after() -> uuid.UUID | None:
    """Where this page of a list begins."""
    try:
        return uuid.UUID(flask.request.args["after"]) if "after" in flask.request.args else None
    except ValueError:
        flask.abort(HTTPStatus.NOT_FOUND)
