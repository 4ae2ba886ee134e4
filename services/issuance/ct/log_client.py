"""HTTPS client of logs: one bounded request at a time, with kept connections for each log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import urllib3

from shared.web.https_client import HTTPPool, HTTPSPool, exchange

CONNECT_TIMEOUT_SECONDS: Final = 3.0
# For the whole answer, an SCT or a signed head.
READ_TIMEOUT_SECONDS: Final = 8.0
# For a page of entries, which may have megabytes.
PAGE_TIMEOUT_SECONDS: Final = 30.0
_CONNECTIONS: Final = 4


@dataclass(frozen=True, kw_only=True)
class _Place:
    pool: HTTPPool | HTTPSPool
    path: str


class LogClient:
    """Client of any log by its address. `ca_file` has the CAs of the logs' servers; without one, the system's.

    `read_timeout` is in seconds, for the whole answer.
    """

    def __init__(self, ca_file: Path | None = None, *, read_timeout: float = READ_TIMEOUT_SECONDS) -> None:
        self._ca_file = ca_file
        self._timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=read_timeout)
        self._places: dict[str, _Place] = {}

    def post(self, url: str, path: str, document: Any, *, max_bytes: int) -> bytes:
        """Return the answer to a JSON document. Raises APIProblem, APIUnavailable."""
        body = json.dumps(document).encode()
        return self._exchange("POST", url, path, body, {"Content-Type": "application/json"}, max_bytes)

    def get(self, url: str, path: str, query: Mapping[str, str | int] | None = None, *, max_bytes: int) -> bytes:
        """Return the content at a path below the log's address. Raises APIProblem, APIUnavailable."""
        asked = f"{path}?{urlencode(query)}" if query else path
        return self._exchange("GET", url, asked, None, {}, max_bytes)

    def _exchange(
        self, method: str, url: str, path: str, body: bytes | None, headers: Mapping[str, str], max_bytes: int
    ) -> bytes:
        place = self._place(url)
        sent = {"Accept": "application/json, */*", "Accept-Encoding": "identity", **headers}
        return exchange(place.pool, method, place.path + path, body=body, headers=sent, max_bytes=max_bytes).body

    def _place(self, url: str) -> _Place:
        if url not in self._places:
            self._places[url] = _Place(pool=self._pool(url), path=urlsplit(url).path)
        return self._places[url]

    def _pool(self, url: str) -> HTTPPool | HTTPSPool:
        parts = urlsplit(url)
        assert parts.hostname is not None  # ensured by the log list, which admits http in development alone
        if parts.scheme == "http":
            return HTTPPool(parts.hostname, parts.port, maxsize=_CONNECTIONS, timeout=self._timeout, block=False)
        return HTTPSPool(
            parts.hostname,
            parts.port,
            ca_certs=None if self._ca_file is None else str(self._ca_file),
            maxsize=_CONNECTIONS,
            timeout=self._timeout,
        )
