"""Session: one encrypted cookie with the access token and little else; the server keeps nothing."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import flask
from cryptography.fernet import InvalidToken, MultiFernet

COOKIE: Final = "__Host-portal"
# Longer than any access token lives. Older cookies are ignored.
_MAX_AGE: Final = 4 * 3600
# Browsers accept cookies of 4 KiB, including the name. A token and a CSR with an RSA key of 2048 bits fit into it.
_MAX_COOKIE_LENGTH: Final = 4_000
# A token that expires while its request runs is not used.
_MARGIN: Final = 5


@dataclass(kw_only=True)
class Pending:
    """A sign-in in progress: what its answer must match, and where it leads."""

    state: str
    verifier: str = field(repr=False)
    then: str
    renewal_id: str | None = None
    # True for the test of an e-Cert.
    test: bool = False
    # True for the host of tokens that cannot do TLS 1.3.
    token: bool = False


@dataclass(kw_only=True)
class Kept:
    """The input of one form: it survives a reload, a change of language and an expired session."""

    path: str
    fields: dict[str, str]


@dataclass(kw_only=True)
class Session:
    """Content of the cookie."""

    csrf: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ends: int = 0
    name: str = ""
    organisation: str = ""
    # Signed in at the host of tokens that cannot do TLS 1.3; the payer is authenticated there, too.
    with_token: bool = False
    # The language and mode to return to from other sites.
    edition: str = ""
    # Signed in with an e-Cert file: the browser has no certificate with which to authenticate the payer.
    with_file: bool = False
    pending: Pending | None = None
    # The authorisation that opens the checkout of a renewal, once its payer is authenticated.
    paying: str = ""
    authorisation: str = field(default="", repr=False)
    kept: Kept | None = None

    @property
    def signed_in(self) -> bool:
        """Whether there is an access token that is valid for this request."""
        return bool(self.token) and time.time() < self.ends - _MARGIN


def current() -> Session:
    """Return this request's session."""
    return cast(Session, flask.g.session)


def csrf_token() -> str:
    """Return the token that every form carries; created with the first form."""
    session = current()
    if not session.csrf:
        session.csrf = secrets.token_urlsafe(24)
    return session.csrf


def csrf_matches(given: str) -> bool:
    """Return whether a form's token is this session's."""
    known = current().csrf
    return bool(known) and secrets.compare_digest(known.encode(), given.encode())


def keep(path: str, fields: Mapping[str, str]) -> None:
    """Keep the input of a form, if the cookie has room for it; callers never pass secrets."""
    current().kept = Kept(path=path, fields=dict(fields)) if any(fields.values()) else None


def kept(path: str) -> dict[str, str]:
    """Return the input that was kept for this form."""
    found = current().kept
    return found.fields if found is not None and found.path == path else {}


def load(keys: MultiFernet) -> None:
    """Open the request's cookie; a foreign or old one counts as none."""
    flask.g.session = _open(flask.request.cookies.get(COOKIE), keys)
    flask.g.session_before = asdict(flask.g.session)


def save(response: flask.Response, keys: MultiFernet) -> None:
    """Write the cookie to the response if its content changed."""
    after = asdict(current())
    if after == flask.g.session_before:
        return
    if after == asdict(Session()):
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Lax")
        return
    sealed = _seal(after, keys)
    if len(sealed) > _MAX_COOKIE_LENGTH:
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
