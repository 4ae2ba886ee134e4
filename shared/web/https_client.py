"""HTTPS client of the gateway: pooled connections to one public name, bounded replies, problem documents as exceptions.

It needs urllib3 and nothing else: the consumer kit, which runs without Flask and without a database, uses it as the
portal does. It never repeats a request and follows no redirect: only the caller knows what may be sent twice.
"""

import http.client
import io
import json
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import urllib3
import urllib3.connection

_PREFIX: Final = "urn:ecert:problem:"
# Length at which a reply without a problem document is cut, to be shown as its title.
_MAX_TITLE: Final = 200


class APIProblem(Exception):
    """A refusal by the API. `slug` is stable: callers decide by it; `document` may have details."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.slug = str(document.get("type", "")).removeprefix(_PREFIX) or "internal"
        self.document = document
        detail = document.get("detail") or document.get("title")
        super().__init__(f"{status} {self.slug}: {detail}" if detail else f"{status} {self.slug}")

    @property
    def reason(self) -> str:
        """The problem's `reason` member, or its slug."""
        return str(self.document.get("reason") or self.slug)


class APIUnavailable(Exception):
    """The API is unavailable: no reply, one beyond the size limit, or one that asks to retry later."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply that is no error."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the body, parsed as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A public address, and the client certificate for it, if any.

    `address` replaces a host name that does not resolve. Without `ca_file` the system's CAs are trusted.
    """

    url: str
    address: tuple[str, int] | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a client: connections that are kept, timeouts in seconds, and the size of a reply.

    `read_timeout` is for the whole reply, however its bytes come.
    """

    connections: int
    connect_timeout: float
    read_timeout: float
    max_bytes: int


class _Timed(io.RawIOBase):
    """A socket's bytes until a moment, which is a timeout away. A timeout of each read alone never ends a slow drip."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._socket = connection
        self._timeout = connection.gettimeout()
        self._until = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there. Raises TimeoutError at the moment."""
        if self._until is None:
            return cast("int | None", self._raw.readinto(buffer))
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        try:
            return cast("int | None", self._raw.readinto(buffer))
        finally:
            # The next request on this connection has its own time.
            self._socket.settimeout(self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()


class TimedResponse(http.client.HTTPResponse):
    """A reply that is whole within the socket's timeout: status line, headers and body together."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


class _Connection(urllib3.connection.HTTPConnection):
    response_class = TimedResponse


class _TLSConnection(urllib3.connection.HTTPSConnection):
    response_class = TimedResponse


class HTTPPool(urllib3.HTTPConnectionPool):
    """A pool of plain connections whose read timeout is for the whole reply."""

    ConnectionCls = _Connection


class HTTPSPool(urllib3.HTTPSConnectionPool):
    """A pool of TLS connections whose read timeout is for the whole reply."""

    ConnectionCls = _TLSConnection


class HTTPSClient:
    """A pool of connections to one public name."""

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        parts = urlsplit(endpoint.url)
        host, port = endpoint.address or (parts.hostname or "", parts.port or 443)
        self._host = parts.netloc
        self._max_bytes = limits.max_bytes
        self._pool = HTTPSPool(
            host,
            port,
            server_hostname=parts.hostname,
            assert_hostname=parts.hostname,
            ca_certs=None if endpoint.ca_file is None else str(endpoint.ca_file),
            cert_file=None if endpoint.certificate is None else str(endpoint.certificate),
            key_file=None if endpoint.key is None else str(endpoint.key),
            maxsize=limits.connections,
            timeout=urllib3.Timeout(connect=limits.connect_timeout, read=limits.read_timeout),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request, with `body` as JSON. POST requests with the same `key` and body take effect once.

        Raises APIProblem for an error reply, APIUnavailable without a reply.
        """
        sent = {"Host": self._host, "Accept": "application/json, */*", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if method == "POST":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
        raw = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            raw = json.dumps(body).encode()
        return exchange(self._pool, method, path, body=raw, headers=sent, max_bytes=self._max_bytes)


def exchange(
    pool: HTTPPool | HTTPSPool,
    method: str,
    path: str,
    *,
    body: str | bytes | None,
    headers: Mapping[str, str],
    max_bytes: int,
) -> Reply:
    """Send one request over a pool of connections. Raises APIProblem, APIUnavailable.

    The pool's read timeout is for the whole reply: these pools alone keep it against a peer that sends byte by byte.
    """
    try:
        response = pool.request(
            method, path, body=body, headers=headers, retries=False, redirect=False, preload_content=False
        )
        content = response.read(max_bytes + 1)
    except urllib3.exceptions.HTTPError as error:
        raise APIUnavailable(f"{method} {path}: no reply ({type(error).__name__}: {error})") from error
    if len(content) > max_bytes:
        # The rest stays unread: this connection serves no further request.
        response.close()
        raise APIUnavailable(f"{method} {path}: a reply of more than {max_bytes} bytes")
    if response.status >= 400:
        raise APIProblem(response.status, _problem(content))
    return Reply(status=response.status, body=content, headers=response.headers)


def _problem(body: bytes) -> Mapping[str, Any]:
    """Return the problem document; what is none, such as a proxy's page, becomes the title of one."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"title": body[:_MAX_TITLE].decode("utf-8", "replace")}
