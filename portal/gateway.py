"""Client of the public API: HTTPS through the gateway, with time limits, problems as exceptions."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import flask
import urllib3

from portal.settings import Settings
from shared.observability import tracing

_CONNECT_TIMEOUT_SECONDS: Final = 2.0
_READ_TIMEOUT_SECONDS: Final = 12.0
# Upper limit of an answer's size.
_MAX_BYTES: Final = 4 * 1024 * 1024
_PREFIX: Final = "urn:ecert:problem:"


class APIProblem(Exception):
    """A refusal by the API. `slug` is stable and selects the message; `document` may have details."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.slug = str(document.get("type", "")).removeprefix(_PREFIX) or "internal"
        self.document = document
        super().__init__(f"{status} {self.slug}")

    @property
    def reason(self) -> str:
        """The problem's `reason` member, or its slug."""
        return str(self.document.get("reason") or self.slug)


class APIUnavailable(Exception):
    """The API is unavailable: no answer, or a status that asks to retry later."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A successful answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the body, parsed as JSON."""
        return json.loads(self.body)


class API:
    """A pool of connections to the API host."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.api_url)
        host, port = settings.gateway_address or (parts.hostname or "", parts.port or 443)
        self._host = parts.netloc
        self._pool = urllib3.HTTPSConnectionPool(
            host,
            port,
            server_hostname=parts.hostname,
            assert_hostname=parts.hostname,
            ca_certs=None if settings.gateway_ca_file is None else str(settings.gateway_ca_file),
            maxsize=settings.web.threads,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_SECONDS, read=_READ_TIMEOUT_SECONDS),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def get(self, path: str, token: str | None = None) -> Reply:
        """Send a GET request. Raises APIProblem, APIUnavailable."""
        return self._send("GET", path, token, None, {})

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a POST request; the same `key` and body take effect once. Raises APIProblem, APIUnavailable."""
        raw = None if body is None else json.dumps(body).encode()
        sent = {"Idempotency-Key": key or uuid.uuid4().hex, **(headers or {})}
        return self._send("POST", path, token, raw, sent)

    def _send(self, method: str, path: str, token: str | None, raw: bytes | None, headers: dict[str, str]) -> Reply:
        headers |= {"Host": self._host, "Accept": "application/json, */*"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if (traceparent := tracing.current()) is not None:
            headers["traceparent"] = traceparent
        if flask.has_request_context() and (request_id := flask.request.headers.get("X-Request-Id")):
            headers["X-Request-Id"] = request_id
        if raw is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(method, path, body=raw, headers=headers, preload_content=False)
            try:
                body = response.read(_MAX_BYTES + 1)
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise APIUnavailable(f"{method} {path}: no answer") from error
        if len(body) > _MAX_BYTES:
            raise APIUnavailable(f"{method} {path}: far too long an answer")
        if response.status >= 400:
            raise _problem(response.status, body)
        return Reply(status=response.status, body=body, headers=response.headers)


def _problem(status: int, body: bytes) -> Exception:
    """Return a problem document as an exception; an answer without one comes from the gateway."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    problem = APIProblem(status, document if isinstance(document, dict) else {})
    if status in (502, 503, 504) and problem.slug in ("internal", "unavailable"):
        return APIUnavailable(str(problem))
    return problem
