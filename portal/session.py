"""The session: one encrypted cookie with the access token and little else; nothing is kept on the server."""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import flask
from cryptography.fernet import InvalidToken, MultiFernet

COOKIE: Final = "__Host-portal"
# Longer than any access token lives; what a cookie from before says is not looked at.
_MAX_AGE: Final = 4 * 3600
# A token that ends while its request runs is no use.
_MARGIN: Final = 5


@dataclass(kw_only=True)
class Pending:
    """A sign-in under way: what the answer must fit, and where it leads."""

    state: str
    verifier: str = field(repr=False)
    then: str
    renewal_id: str | None = None


@dataclass(kw_only=True)
class Session:
    """What the cookie holds."""

    csrf: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ends: int = 0
    name: str = ""
    organisation: str = ""
    # The language and mode to come back to from elsewhere.
    edition: str = ""
    pending: Pending | None = None
    # Who pays was proved for this renewal: the authorisation that opens its checkout.
    paying: str = ""
    authorisation: str = field(default="", repr=False)

    @property
    def signed_in(self) -> bool:
        """An access token is there and good for this request."""
        return bool(self.token) and time.time() < self.ends - _MARGIN


def current() -> Session:
    """This request's session."""
    return cast(Session, flask.g.session)


def csrf_token() -> str:
    """The token every form carries; made when the first form is shown."""
    session = current()
    if not session.csrf:
        session.csrf = secrets.token_urlsafe(24)
    return session.csrf


def csrf_matches(given: str) -> bool:
    """Whether a form was ours."""
    known = current().csrf
    return bool(known) and secrets.compare_digest(known.encode(), given.encode())


def load(keys: MultiFernet) -> None:
    """Before a request: open its cookie; one that is not ours, or old, is as none."""
    flask.g.session = _open(flask.request.cookies.get(COOKIE), keys)
    flask.g.session_before = asdict(flask.g.session)


def save(response: flask.Response, keys: MultiFernet) -> None:
    """After a request: write the cookie if anything in it changed."""
    after = asdict(current())
    if after == flask.g.session_before:
        return
    if after == asdict(Session()):
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Lax")
        return
    sealed = keys.encrypt(json.dumps(after, ensure_ascii=False).encode()).decode()
    response.set_cookie(COOKIE, sealed, secure=True, httponly=True, samesite="Lax", path="/")


def _open(sealed: str | None, keys: MultiFernet) -> Session:
    if not sealed:
        return Session()
    try:
        data = json.loads(keys.decrypt(sealed.encode(), ttl=_MAX_AGE))
        pending = data.pop("pending")
        return Session(**data, pending=None if pending is None else Pending(**pending))
    except (InvalidToken, ValueError, TypeError, KeyError):
        return Session()
