"""What the API says to everyone, kept for a while: the fees in force, and the terms that applications refer to."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from werkzeug.exceptions import NotFound

from portal import web
from portal.gateway import APIProblem, APIUnavailable

_VERSION: Final = re.compile(r"[0-9][0-9.-]{0,19}")
_KEEP_SECONDS: Final = 300.0
# After a failure: nobody else waits for the same silence.
_AGAIN_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """One version of the terms: the bytes that were hashed, and what they say."""

    version: str
    sha256: str
    body: bytes = field(repr=False)
    ruling: str
    texts: dict[str, str] = field(repr=False)

    def paragraphs(self, language: str) -> list[str]:
        """The text in a language; the first paragraph is its title."""
        return self.texts[language].strip().split("\n\n")


def prices() -> list[dict[str, Any]]:
    """The fees in force; none if they cannot be read now: a page for everyone shows all the same."""
    return _kept("prices", _read_prices) or []


def _read_prices() -> list[dict[str, Any]] | None:
    try:
        found: list[dict[str, Any]] = web.deps().api.get("/application/v1/prices").json()
    except (APIProblem, APIUnavailable):
        return None
    return found


def terms(version: str | None = None) -> Terms:
    """A version of the terms, or the current one. Raises NotFound, APIProblem, APIUnavailable."""
    if version is not None and not _VERSION.fullmatch(version):
        raise NotFound
    path = "/application/v1/terms" + (f"/{version}" if version else "")
    found: Terms = _kept(path, lambda: _read_terms(path))
    return found


def agreed_terms(named: dict[str, str]) -> Terms:
    """The terms that an application names, if they are what it names: nobody agrees to another text unawares."""
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
    """What was read a short while ago, or just now."""
    now, kept = time.monotonic(), web.deps().kept
    until, value = kept.get(name, (0.0, None))
    if now >= until:
        value = read()
        kept[name] = now + (_AGAIN_SECONDS if value is None else _KEEP_SECONDS), value
    return value
