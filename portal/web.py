"""What every page is made with: who is signed in, the API, forms, addresses, waiting."""

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
from portal.gateway import API, Reply
from portal.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])
REFRESH_SECONDS: Final = 5
_KEEPABLE: Final = re.compile(r"csr|reference|servers-[0-9]{10}")
_OWN_PATH: Final = re.compile(r"/(en|zh-hant|zh-hans)(/[A-Za-z0-9/_-]*)?(\?[A-Za-z0-9=&_-]*)?")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What main.py built."""

    settings: Settings
    api: API
    # What published.py read: when it is to be read again, and what.
    kept: dict[str, tuple[float, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class FormError:
    """One thing to put right; `field` is the id of the control."""

    text: str
    field: str


class SignInNeeded(Exception):
    """Nobody is signed in (any more); the page is shown after the sign-in."""


class FormExpired(Exception):
    """A form that is not of this session."""


def deps() -> Deps:
    """The portal's own dependencies."""
    return cast(Deps, flask.current_app.extensions["portal"])


def signed_in(view: View) -> View:
    """A page for a signed-in AR only."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if not session.current().signed_in:
            raise SignInNeeded
        # A copy of the cookie from before a sign-out is not told from the cookie itself; identity knows: it says 401.
        get("/identity/v1/session")
        return view(*args, **kwargs)

    return cast(View, guarded)


def get(path: str) -> Reply:
    """A signed-in GET."""
    return deps().api.get(path, session.current().token)


def post(path: str, body: Any = None, *, key: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """A signed-in POST; by default the form's own key, so that a second click changes nothing."""
    return deps().api.post(path, body, token=session.current().token, key=key or _form_key(), headers=headers)


def _form_key() -> str:
    given = flask.request.form.get("once", "")
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid.uuid4().hex


def check_form() -> None:
    """Refuse a form of another site or of an old session. Raises FormExpired, or SignInNeeded if that is why."""
    if not session.csrf_matches(flask.request.form.get("csrf", "")):
        raise FormExpired if session.current().signed_in else SignInNeeded


def place() -> str:
    """This page's address without its language: what is kept of its form is shown in any."""
    return flask.request.path.removeprefix(f"/{languages.edition()}")


def keep_form() -> None:
    """Keep what was typed, but for secrets and what is larger than a cookie."""
    form = flask.request.form
    fields = {name: form[name] for name in form if _KEEPABLE.fullmatch(name)} | csr_text.uploaded()
    if "PRIVATE KEY" in fields.get("csr", ""):
        del fields["csr"]
    session.keep(place(), fields)


def kept() -> dict[str, str]:
    """What was kept of the form of this page."""
    return session.kept(place())


def own_path(path: str) -> str | None:
    """The path, if it is certainly one of our pages; else None, and nobody is sent there."""
    return path if _OWN_PATH.fullmatch(path) else None


def redirect(endpoint: str, **values: Any) -> Response:
    """After a form: show a page by GET."""
    return flask.redirect(flask.url_for(endpoint, **values), HTTPStatus.SEE_OTHER)


def show(template: str, *, errors: Sequence[FormError] = (), **values: Any) -> flask.Response:
    """A page; with errors it says 422."""
    body = flask.render_template(template, errors=errors, **values)
    return flask.Response(
        body, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK, content_type="text/html; charset=utf-8"
    )


def show_waiting(template: str, **values: Any) -> flask.Response:
    """A page that loads itself again, without a script, until told not to."""
    refreshing = flask.request.args.get("refresh") != "off"
    response = show(template, refreshing=refreshing, **values)
    if refreshing:
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response


def is_web_address(url: str) -> bool:
    """An address we may send a browser to on the API's word."""
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and bool(parts.hostname)


def by_item(renewal: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A renewal's items by their id."""
    return {item["id"]: item for item in renewal["items"]}
