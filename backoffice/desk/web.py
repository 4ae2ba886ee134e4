"""What every page of the desk is made with: who is at the desk, the database, forms and pages."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import flask
from werkzeug.wrappers import Response

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
    clock: Clock = utc_now


class NotAllowed(Refused):
    """None of the member's roles may do this."""

    reason = "not-allowed"


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


def show(template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> flask.Response:
    """A page."""
    body = flask.render_template(template, **values)
    return flask.Response(body, status, content_type="text/html; charset=utf-8")


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
