"""Client of the gateway: HTTPS to 127.0.0.1 under the public names, problems as exceptions."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import urllib3

API_HOST: Final = "api.ecert.localhost"
SIGN_IN_HOST: Final = "signin.ecert.localhost"

T = TypeVar("T")
_TRY_AGAIN: Final = (502, 503, 504)


class Problem(Exception):
    """An answer with a problem document."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{status} {document.get('type')}: {document.get('detail') or document.get('title')}")
        self.status = status
        self.type = str(document.get("type", ""))
        self.document = document


class TimedOut(Exception):
    """The condition did not become true in time."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response."""

    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        """Return the body, parsed as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Address of the gateway, its root certificate, and the tolerated outage in seconds.

    With a `traceparent` every request belongs to that trace.
    """

    port: int
    ca_file: Path
    patience: float = 0.0
    traceparent: str | None = None

    def connect(self, host: str, *, certificate: Path | None = None, key: Path | None = None) -> "Connection":
        """Return a connection pool to one public name, with a client certificate if there is one."""
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            self.port,
            server_hostname=host,
            assert_hostname=host,
            ca_certs=str(self.ca_file),
            cert_file=None if certificate is None else str(certificate),
            key_file=None if key is None else str(key),
            maxsize=4,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=30),
        )
        trace = {} if self.traceparent is None else {"traceparent": self.traceparent}
        return Connection(pool=pool, host=f"{host}:{self.port}", patience=self.patience, headers=trace)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Requests to one public name."""

    pool: urllib3.HTTPConnectionPool
    host: str
    patience: float
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request, and repeat it with the same key while the system is unavailable.

        Raises Problem for an error answer, urllib3's HTTPError without an answer.
        """
        sent = {"Host": self.host, **self.headers, **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if method == "POST":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
        raw = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            raw = json.dumps(body).encode()
        return patiently(lambda: _answer(self.pool.request(method, path, body=raw, headers=sent)), self.patience)

    def close(self) -> None:
        """Close the connections."""
        self.pool.close()


def _answer(response: urllib3.BaseHTTPResponse) -> Answer:
    answer = Answer(status=response.status, body=response.data, headers=dict(response.headers))
    if response.status >= 400:
        raise Problem(response.status, _document(answer))
    return answer


def patiently(ask: Callable[[], Answer], patience: float) -> Answer:
    """Repeat the request until its answer is not "try again later"."""
    until = time.monotonic() + patience
    while True:
        try:
            return ask()
        except (urllib3.exceptions.HTTPError, Problem) as error:
            away = not isinstance(error, Problem) or error.status in _TRY_AGAIN or error.type.endswith("-in-use")
            if not away or time.monotonic() > until:
                raise
            time.sleep(0.25)


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {"title": answer.body[:200].decode("utf-8", "replace")}
    return document if isinstance(document, dict) else {"title": str(document)}


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = 60.0, every: float = 0.02) -> T:
    """Poll until there is a result. Raises TimedOut."""
    until = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > until:
            raise TimedOut(f"{what} did not come within {seconds:.0f} s")
        time.sleep(every)
    return found


def plain_http(url: str, method: str = "GET", *, patience: float = 0.0, **fields: str) -> Answer:
    """Send a request to a page outside the gateway whose .localhost name Python does not resolve."""
    parts = urlsplit(url)
    pool = urllib3.HTTPConnectionPool("127.0.0.1", parts.port or 80, retries=False, timeout=15)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {"Host": parts.netloc}
    if fields:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    body = urlencode(fields) if fields else None
    try:
        return patiently(
            lambda: _answer(pool.request(method, path, body=body, headers=headers, redirect=False)), patience
        )
    finally:
        pool.close()
