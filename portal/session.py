"""The session: one encrypted cookie with the access token and little else; nothing is kept on the server."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import flask
from cryptography.fernet import InvalidToken, MultiFernet

COOKIE: Final = "__Host-portal"
# Longer than any access token lives; what a cookie from before says is not looked at.
_MAX_AGE: Final = 4 * 3600
# A browser takes a cookie of 4 KiB, its name included. A token and a CSR with an RSA key of 2048 bits fit into it.
_MOST_SEALED: Final = 4_000
# A token that ends while its request runs is no use.
_MARGIN: Final = 5


@dataclass(kw_only=True)
class Pending:
    """A sign-in under way: what the answer must fit, and where it leads."""

    state: str
    verifier: str = field(repr=False)
    then: str
    renewal_id: str | None = None
    # Only to look at the e-Cert.
    test: bool = False
    # At the host of tokens that cannot do TLS 1.3.
    token: bool = False


@dataclass(kw_only=True)
class Kept:
    """What was typed into one form: it survives a reload, another language and an ended session."""

    path: str
    fields: dict[str, str]


@dataclass(kw_only=True)
class Session:
    """What the cookie holds."""

    csrf: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ends: int = 0
    name: str = ""
    organisation: str = ""
    # Signed in at the host of tokens that cannot do TLS 1.3; asked there again to pay.
    with_token: bool = False
    # The language and mode to come back to from elsewhere.
    edition: str = ""
    # Signed in with an e-Cert file: there is no e-Cert in the browser to ask for when the renewal is paid.
    with_file: bool = False
    pending: Pending | None = None
    # Who pays was proved for this renewal: the authorisation that opens its checkout.
    paying: str = ""
    authorisation: str = field(default="", repr=False)
    kept: Kept | None = None

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


def keep(path: str, fields: Mapping[str, str]) -> None:
    """Keep what a form of ours held, if the cookie has room for it; secrets are never given to this."""
    current().kept = Kept(path=path, fields=dict(fields)) if any(fields.values()) else None


def kept(path: str) -> dict[str, str]:
    """What was kept of this form."""
    found = current().kept
    return found.fields if found is not None and found.path == path else {}


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
    sealed = _seal(after, keys)
    if len(sealed) > _MOST_SEALED:
        sealed = _seal(after | {"kept": None}, keys)
    response.set_cookie(COOKIE, sealed, secure=True, httponly=True, samesite="Lax", path="/")


def _seal(content: dict[str, Any], keys: MultiFernet) -> str:
    return keys.encrypt(json.dumps(content, ensure_ascii=False).encode()).decode()


def _open(sealed: str | None, keys: MultiFernet) -> Session:
    if not sealed:
        return Session()
    try:
        data = json.loads(keys.decrypt(sealed.encode(), ttl=_MAX_AGE))
        pending, kept = data.pop("pending"), data.pop("kept", None)
        return Session(
            **data,
            pending=None if pending is None else Pending(**pending),
            kept=None if kept is None else Kept(**kept),
        )
    except (InvalidToken, ValueError, TypeError, KeyError):
        return Session()
