"""Client of the gateway: HTTPS to 127.0.0.1 under the public names, problems as exceptions."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPPool, HTTPSClient, Limits, Reply, exchange

API_HOST: Final = "api.ecert.localhost"
SIGN_IN_HOST: Final = "signin.ecert.localhost"

T = TypeVar("T")
_TRY_AGAIN: Final = (502, 503, 504)
_MAX_BYTES: Final = 16 * 1024 * 1024
_LIMITS: Final = Limits(connections=4, connect_timeout=5.0, read_timeout=30.0, max_bytes=_MAX_BYTES)


class TimedOut(Exception):
    """The condition did not become true in time."""


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
        endpoint = Endpoint(
            url=f"https://{host}:{self.port}",
            address=("127.0.0.1", self.port),
            ca_file=self.ca_file,
            certificate=certificate,
            key=key,
        )
        trace = {} if self.traceparent is None else {"traceparent": self.traceparent}
        return Connection(client=HTTPSClient(endpoint, _LIMITS), patience=self.patience, headers=trace)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Requests to one public name."""

    client: HTTPSClient
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
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request, and repeat it with the same key while the system is unavailable.

        Raises APIProblem for an error answer, APIUnavailable without an answer.
        """
        sent = {**self.headers, **(headers or {})}
        key = key or uuid.uuid4().hex
        return patiently(
            lambda: self.client.request(method, path, body, token=token, key=key, headers=sent), self.patience
        )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def patiently(ask: Callable[[], Reply], patience: float) -> Reply:
    """Repeat the request until its answer is not "try again later"."""
    until = time.monotonic() + patience
    while True:
        try:
            return ask()
        except (APIUnavailable, APIProblem) as error:
            later = not isinstance(error, APIProblem) or error.status in _TRY_AGAIN or error.slug.endswith("-in-use")
            if not later or time.monotonic() > until:
                raise
            time.sleep(0.25)


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = 60.0, every: float = 0.02) -> T:
    """Poll until there is a result. Raises TimedOut."""
    until = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > until:
            raise TimedOut(f"{what} did not come within {seconds:.0f} s")
        time.sleep(every)
    return found


def plain_http(url: str, method: str = "GET", *, patience: float = 0.0, **fields: str) -> Reply:
    """Send a request to a page outside the gateway whose .localhost name Python does not resolve."""
    parts = urlsplit(url)
    pool = HTTPPool("127.0.0.1", parts.port or 80, timeout=15)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {"Host": parts.netloc}
    if fields:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    body = urlencode(fields) if fields else None
    try:
        return patiently(
            lambda: exchange(pool, method, path, body=body, headers=headers, max_bytes=_MAX_BYTES), patience
        )
    finally:
        pool.close()
