"""Client of the feed over HTTP: pages by position, the head, the published keys. Waits and answers are bounded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import Undecodable
from shared.events.base import Envelope, Topic
from shared.messaging import codec
from shared.security.tokens import KeySet
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPSClient, Limits, Reply

FEED: Final = Topic.ISSUANCE
# A page is awaited for up to 20 s.
_LIMITS: Final = Limits(connections=2, connect_timeout=5.0, read_timeout=40.0, max_bytes=8 * 1024 * 1024)
# Statuses after which the same request may succeed later.
_LATER: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: events, errors of unreadable ones, the last position (None if the page is empty), and the feed's head."""

    events: Sequence[Envelope]
    unreadable: Sequence[str]
    last: int | None
    head: int


class FeedClient:
    """A reader's connection. Every call raises APIUnavailable, or APIProblem if the feed refuses the reader."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = HTTPSClient(endpoint, _LIMITS)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def page(self, after: int, *, limit: int, wait: int = 0) -> Page:
        """Return the events after a position."""
        reply = self._get(f"/issuance/v1/issuance-events?after={after}&limit={limit}&wait={wait}")
        batch = reply.json()
        events, unreadable = [], []
        for document in batch:
            try:
                events.append(codec.from_json(FEED, document))
            except Undecodable as error:
                unreadable.append(str(error))
        last = int(batch[-1]["position"]) if batch else None
        return Page(events=events, unreadable=unreadable, last=last, head=int(reply.headers["Feed-Head"]))

    def head(self) -> int:
        """Return the last position of the feed."""
        return int(self._get("/issuance/v1/feed-head").json()["position"])

    def keys(self) -> KeySet:
        """Return the published keys."""
        return KeySet.parse(self._get("/issuance/v1/feed-keys").json())

    def _get(self, path: str) -> Reply:
        try:
            reply = self._client.request("GET", path)
        except APIProblem as problem:
            if problem.status in _LATER:
                raise APIUnavailable(str(problem)) from problem
            raise
        if reply.status != 200:
            raise APIProblem(reply.status, {"title": "no page of the feed"})
        return reply
