"""Helpers of the portal's pages: the signed-in AR, the API, forms, addresses, waiting pages."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import flask
from werkzeug.wrappers import Response

from portal import csr_text, languages, session
from portal.gateway import API
from portal.settings import Settings
from shared.web.https_client import Reply

View = TypeVar("View", bound=Callable[..., Any])
REFRESH_SECONDS: Final = 5
_KEEPABLE: Final = re.compile(r"csr|reference|revocation-reason|servers-[0-9]{10}")
_OWN_PATH: Final = re.compile(r"/(en|zh-hant|zh-hans)(/[A-Za-z0-9/_-]*)?(\?[A-Za-z0-9=&_-]*)?")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py."""

    settings: Settings
    api: API
    # Cache of published.py: when each value is to be read again, and the value.
    kept: dict[str, tuple[float, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class FormError:
    """An error in a form; `field` is the id of the control."""

    text: str
    field: str


class SignInNeeded(Exception):
    """The request has no valid sign-in; the page is shown after one."""


class FormExpired(Exception):
    """The form is not of this session."""


def deps() -> Deps:
    """Return the portal's dependencies."""
    return cast(Deps, flask.current_app.extensions["portal"])


def signed_in(view: View) -> View:
    """Decorate a page for signed-in ARs only."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if not session.current().signed_in:
            raise SignInNeeded
        # A copy of the cookie from before a sign-out looks like the cookie itself; identity answers 401 for it.
        get("/identity/v1/session")
        return view(*args, **kwargs)

    return cast(View, guarded)


def get(path: str) -> Reply:
    """Send a GET request in the AR's name."""
    return deps().api.get(path, session.current().token)


def post(path: str, body: Any = None, *, key: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a POST request in the AR's name; its default key is the form's own, so that a
    resubmission changes nothing.
    """
    return deps().api.post(path, body, token=session.current().token, key=key or form_key(), headers=headers)


def form_key() -> str:
    """Return the key of the form that was sent: the same however often it is sent."""
    given = flask.request.form.get("once", "")
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid.uuid4().hex


def check_form() -> None:
    """Refuse a form of another site or of an old session.

    Raises FormExpired, or SignInNeeded if the session has expired.
    """
    if not session.csrf_matches(flask.request.form.get("csrf", "")):
        raise FormExpired if session.current().signed_in else SignInNeeded


def place() -> str:
    """Return this page's address without its language: input is kept for all languages."""
    return flask.request.path.removeprefix(f"/{languages.edition()}")


def keep_form() -> None:
    """Keep the form's input, except secrets and what is too large for a cookie."""
    form = flask.request.form
    fields = {name: form[name] for name in form if _KEEPABLE.fullmatch(name)} | csr_text.uploaded()
    if "PRIVATE KEY" in fields.get("csr", ""):
        del fields["csr"]
    session.keep(place(), fields)


def kept() -> dict[str, str]:
    """Return the input that was kept for this page's form."""
    return session.kept(place())


def own_path(path: str) -> str | None:
    """Return the path if it is certainly a page of the portal; else None, and no redirect goes there."""
    return path if _OWN_PATH.fullmatch(path) else None


def redirect(endpoint: str, **values: Any) -> Response:
    """Redirect to a page after a form."""
    return flask.redirect(flask.url_for(endpoint, **values), HTTPStatus.SEE_OTHER)


def show(template: str, *, errors: Sequence[FormError] = (), **values: Any) -> flask.Response:
    """Return a page; with errors its status is 422."""
    body = flask.render_template(template, errors=errors, **values)
    return flask.Response(
        body, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK, content_type="text/html; charset=utf-8"
    )


def show_waiting(template: str, **values: Any) -> flask.Response:
    """Return a page that reloads itself, without a script, until its answer says otherwise."""
    refreshing = flask.request.args.get("refresh") != "off"
    response = show(template, refreshing=refreshing, **values)
    if refreshing:
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response


def is_web_address(url: str) -> bool:
    """Return whether the API's address is one to which a browser may be redirected."""
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and bool(parts.hostname)


def by_item(renewal: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return a renewal's items by their id."""
    return {item["id"]: item for item in renewal["items"]}
