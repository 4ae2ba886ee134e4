"""Common parts of our web pages: templates with the design system, assets, security headers."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import flask
from jinja2 import ChainableUndefined, ChoiceLoader, FileSystemLoader, PackageLoader, PrefixLoader
from markupsafe import Markup, escape

_CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Strict-Transport-Security": "max-age=31536000",
}
_COMPRESSED: Final = frozenset({"text/css", "text/javascript", "text/plain"})


class _Flask(flask.Flask):
    # The design system's templates use parameters that are not given; tests check our own.
    jinja_options = {"undefined": ChainableUndefined, "trim_blocks": True, "lstrip_blocks": True}  # noqa: RUF012


def create_app(name: str, folder: Path) -> flask.Flask:
    """Return an app for pages, with this folder's templates, govuk-frontend's components and static files."""
    app = _Flask(name, static_folder=str(folder / "static"), template_folder=None)
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 31_536_000
    components = PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")})
    app.jinja_env.loader = ChoiceLoader([FileSystemLoader(folder / "templates"), components])
    app.jinja_env.globals["asset"] = _asset
    app.jinja_env.filters["breakable"] = _breakable
    return app


def _breakable(name: str) -> Markup:
    """Return a server name that may be broken after a dot, where a line ends."""
    return Markup(".<wbr>").join(escape(part) for part in name.split("."))  # every part is escaped


def _compress(response: flask.Response) -> None:
    """Compress a static file in the best form that the browser accepts.

    Never a page: it may contain a secret beside attacker-controlled text, and its length would reveal it (BREACH).
    """
    if flask.request.endpoint != "static" or response.mimetype not in _COMPRESSED:
        return
    response.vary.add("Accept-Encoding")
    etag, _ = response.get_etag()
    if response.status_code != HTTPStatus.OK or not flask.request.accept_encodings["gzip"] or etag is None:
        return
    response.direct_passthrough = False
    response.set_data(_gzip(response.get_data()))
    response.headers["Content-Encoding"] = "gzip"
    response.set_etag(f"{etag}-gzip")


@lru_cache(maxsize=16)
def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def protect(response: flask.Response) -> None:
    """Add security headers: no foreign scripts, no frames, no caching except of static files."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if flask.request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    _drop_own_host(response)
    _compress(response)


def _drop_own_host(response: flask.Response) -> None:
    """Make a redirection to this host a path only.

    The gateway removes the port from the Host header, so the framework's absolute address would lead to another port.
    """
    location = urlsplit(response.headers.get("Location", ""))
    if location.netloc and location.netloc == flask.request.host:
        response.headers["Location"] = urlunsplit(("", "", location.path, location.query, location.fragment))


@cache
def _fingerprint(path: Path, changed: float) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """Return a static file's address, which changes with its content."""
    path = Path(flask.current_app.static_folder or "") / name
    version = _fingerprint(path, path.stat().st_mtime) if path.exists() else "none"
    return flask.url_for("static", filename=name, v=version)
