"""Cache of the API's public data: the fees in force, and the terms."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from werkzeug.exceptions import NotFound

from portal import web
from shared.web.https_client import APIProblem, APIUnavailable

_VERSION: Final = re.compile(r"[0-9][0-9.-]{0,19}")
_KEEP_SECONDS: Final = 300.0
# Delay before the next attempt after a failure, so that other requests do not wait for the same timeout.
_RETRY_DELAY_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A version of the terms: the bytes that were hashed, and their content."""

    version: str
    sha256: str
    body: bytes = field(repr=False)
    ruling: str
    texts: dict[str, str] = field(repr=False)

    def paragraphs(self, language: str) -> list[str]:
        """Return the text in a language; the first paragraph is its title."""
        return self.texts[language].strip().split("\n\n")


def prices() -> list[dict[str, Any]]:
    """Return the fees in force; none if they are unavailable, so that the public page is shown all the same."""
    return _kept("prices", _read_prices) or []


def _read_prices() -> list[dict[str, Any]] | None:
    try:
        found: list[dict[str, Any]] = web.deps().api.get("/application/v1/prices").json()
    except (APIProblem, APIUnavailable):
        return None
    return found


def terms(version: str | None = None) -> Terms:
    """Return a version of the terms, or the current one. Raises NotFound, APIProblem, APIUnavailable."""
    if version is not None and not _VERSION.fullmatch(version):
        raise NotFound
    path = "/application/v1/terms" + (f"/{version}" if version else "")
    found: Terms = _kept(path, lambda: _read_terms(path))
    return found


def agreed_terms(named: dict[str, str]) -> Terms:
    """Return the terms that an application names, if their hash matches: nobody agrees to another text unawares."""
    found = terms(named["version"])
    if found.sha256 != named["sha256"]:
        raise APIUnavailable(f"terms {found.version} are not those of the application")
    return found


def _read_terms(path: str) -> Terms:
    body = web.deps().api.get(path).body
    content = json.loads(body)
    return Terms(
        version=content["version"],
        sha256=hashlib.sha256(body).hexdigest(),
        body=body,
        ruling=content["ruling_language"],
        texts=content["texts"],
    )


def _kept(name: str, read: Callable[[], Any]) -> Any:
    """Return the cached value, or read it."""
    now, kept = time.monotonic(), web.deps().kept
    until, value = kept.get(name, (0.0, None))
    if now >= until:
        value = read()
        kept[name] = now + (_RETRY_DELAY_SECONDS if value is None else _KEEP_SECONDS), value
    return value
