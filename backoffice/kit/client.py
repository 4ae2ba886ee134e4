"""Client of the feed over HTTP: pages by position, the head, the published keys. Waits and answers are bounded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from shared.errors import Undecodable
from shared.events.base import Envelope, Topic
from shared.messaging import codec
from shared.security.tokens import KeySet

FEED: Final = Topic.ISSUANCE
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_READ_TIMEOUT_SECONDS: Final = 40.0
_MAX_BYTES: Final = 8 * 1024 * 1024
_PREFIX: Final = "urn:ecert:problem:"
# Statuses after which the same request may succeed later.
_LATER: Final = frozenset({429, 502, 503, 504})


class FeedUnavailable(Exception):
    """The feed is unavailable: no answer, or a status that asks to retry later."""


class FeedRefused(Exception):
    """The feed refuses this reader or its request; `slug` is the problem type."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.slug = str(document.get("type", "")).removeprefix(_PREFIX)
        self.document = document
        super().__init__(f"{status} {self.slug}: {document.get('detail') or document.get('title')}")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: events, errors of unreadable ones, the last position (None if the page is empty), and the feed's head."""

    events: Sequence[Envelope]
    unreadable: Sequence[str]
    last: int | None
    head: int


@dataclass(frozen=True, kw_only=True)
class Access:
    """The feed's address and the reader's certificate. `address` replaces a host name that does not resolve."""

    url: str
    certificate: Path
    key: Path
    ca: Path | None
    address: tuple[str, int] | None = None


class FeedClient:
    """A reader's connection. Every call raises FeedAway or FeedRefused."""

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.url)
        host, port = access.address or (parts.hostname or "", parts.port or 443)
        self._host = parts.netloc
        self._pool = urllib3.HTTPSConnectionPool(
            host,
            port,
            server_hostname=parts.hostname,
            assert_hostname=parts.hostname,
            ca_certs=None if access.ca is None else str(access.ca),
            cert_file=str(access.certificate),
            key_file=str(access.key),
            maxsize=2,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_SECONDS, read=_READ_TIMEOUT_SECONDS),
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def page(self, after: int, *, limit: int, wait: int = 0) -> Page:
        """Return the events after a position."""
        response = self._get(f"/issuance/v1/issuance-events?after={after}&limit={limit}&wait={wait}")
        batch = json.loads(response.data)
        events, unreadable = [], []
        for document in batch:
            try:
                events.append(codec.from_json(FEED, document))
            except Undecodable as error:
                unreadable.append(str(error))
        last = int(batch[-1]["position"]) if batch else None
        return Page(events=events, unreadable=unreadable, last=last, head=int(response.headers["Feed-Head"]))

    def head(self) -> int:
        """Return the last position of the feed."""
        return int(json.loads(self._get("/issuance/v1/feed-head").data)["position"])

    def keys(self) -> KeySet:
        """Return the published keys."""
        return KeySet.parse(json.loads(self._get("/issuance/v1/feed-keys").data))

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        try:
            response = self._pool.request("GET", path, headers={"Host": self._host}, preload_content=False)
            body = response.read(_MAX_BYTES + 1)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise FeedUnavailable(f"{type(error).__name__}: {error}") from error
        if len(body) > _MAX_BYTES:
            raise FeedUnavailable("an answer that is larger than any page")
        if response.status in _LATER:
            raise FeedUnavailable(f"{response.status}")
        if response.status != 200:
            raise FeedRefused(response.status, _problem(body))
        return urllib3.HTTPResponse(body, headers=response.headers, status=response.status)


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
