"""HTTP API of the feed: its events page by page, its head, and the keys that verify it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import flask
import msgspec
import structlog
from flask_smorest import abort
from marshmallow import RAISE
from prometheus_client import Counter, Gauge

from services.issuance.feed import readers, schemas, store
from services.issuance.feed.head import Head, TooManyRequests, TooManyWaiting
from services.issuance.feed.readers import Action, CertificateNotValid, NoRight, ReaderUnknown, ReaderWithdrawn
from shared.errors import Refused
from shared.events.base import Envelope
from shared.messaging import codec
from shared.web import client_certificate, request
from shared.web.client_certificate import ClientCertificateMalformed, ClientCertificateMissing
from shared.web.openapi import Blueprint, by_client_certificate, for_everyone, refuses
from shared.web.problems import Problem, ProblemTable

log = structlog.get_logger()

BATCH_TYPE: Final = "application/cloudevents-batch+json"
KEYS_TYPE: Final = "application/jwk-set+json"
# A page ends with the event that exceeds this, so a reader needs little memory.
PAGE_BYTES: Final = 1024 * 1024
_KEYS_SECONDS: Final = 300
SENT = Counter("feed_events_sent_total", "Events served over HTTP", ["reader"])
READ = Gauge("feed_reader_position", "Position in a reader's last request", ["reader"])
REFUSED = Counter("feed_refused_total", "Refused requests of readers", ["reason"])


class PositionAhead(Refused):
    """The feed has not reached this position: it is another feed's, or the feed was restored to an earlier time."""

    reason = "position-ahead"

    def __init__(self, after: int, head: int) -> None:
        super().__init__(f"position {after} was asked for, the last one is {head}")
        self.extensions = {"head": head}


PROBLEMS: Final[ProblemTable] = {
    ClientCertificateMissing: Problem(
        HTTPStatus.FORBIDDEN, ClientCertificateMissing.reason, "Client certificate missing"
    ),
    ClientCertificateMalformed: Problem(
        HTTPStatus.BAD_REQUEST, ClientCertificateMalformed.reason, "Client certificate unreadable"
    ),
    ReaderUnknown: Problem(HTTPStatus.FORBIDDEN, ReaderUnknown.reason, "Certificate not registered"),
    ReaderWithdrawn: Problem(HTTPStatus.FORBIDDEN, ReaderWithdrawn.reason, "Certificate withdrawn"),
    CertificateNotValid: Problem(
        HTTPStatus.FORBIDDEN, CertificateNotValid.reason, "Certificate expired or not yet valid"
    ),
    NoRight: Problem(HTTPStatus.FORBIDDEN, NoRight.reason, "Role does not allow this"),
    PositionAhead: Problem(
        HTTPStatus.CONFLICT,
        PositionAhead.reason,
        "Position is beyond the feed's head",
        members={"head": {"type": "integer", "description": "The last position there is"}},
    ),
    TooManyRequests: Problem(
        HTTPStatus.TOO_MANY_REQUESTS, TooManyRequests.reason, "Too many simultaneous requests", retry_after=1
    ),
    TooManyWaiting: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, TooManyWaiting.reason, "Too many waiting requests", retry_after=5
    ),
}

# Hosts of the feed. Its OpenAPI document is published with the events' guide, on no host of ours.
SERVERS: Final = (
    {
        "url": "https://{host}",
        "description": "The back office's host: it asks for the client certificate of a system",
        "variables": {"host": {"default": "backoffice.ecert.localhost:8443"}},
    },
)
for_readers = by_client_certificate()
judges_reader = refuses(ReaderUnknown, ReaderWithdrawn, CertificateNotValid, NoRight)

blp = Blueprint("feed", __name__, description="Feed of issuance events")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by the composition root. `jwks` is the published key set, as in its file."""

    head: Head
    jwks: bytes


@blp.get("/issuance-events")
@for_readers
@judges_reader
@refuses(PositionAhead, TooManyRequests, TooManyWaiting)
@blp.arguments(schemas.PageSchema, location="query", unknown=RAISE)
@blp.response(200, schemas.BATCH, content_type=BATCH_TYPE, headers=schemas.BATCH_HEADERS)
def list_events(query: dict[str, int]) -> flask.Response:
    """Return the events after a position, as a batch of CloudEvents.

    At the head the batch is empty, at once or after `wait` seconds.
    """
    if repeated := [name for name in query if len(flask.request.args.getlist(name)) > 1]:
        wrong = {name: ["Given more than once."] for name in repeated}
        abort(HTTPStatus.UNPROCESSABLE_ENTITY, messages={"query": wrong})
    with _client() as der, request.deps(Deps).head.place_of(_name(der)):
        page = _page(der, query)
        if not page.events and query["wait"]:
            request.deps(Deps).head.wait_past(query["after"], query["wait"])
            page = _page(der, query)
    return _batch(page, query)


@blp.get("/feed-head")
@for_readers
@judges_reader
@blp.response(200, schemas.HeadSchema)
def show_head() -> store.Newest:
    """Return the head of the feed."""
    with _client() as der, request.transaction() as tx:
        readers.authorise(tx.conn, der, Action.READ_HEAD, tx.now)
        return store.newest(tx.conn)


@blp.get("/feed-keys")
@for_everyone
@blp.response(200, schemas.KEYS, content_type=KEYS_TYPE)
def show_keys() -> flask.Response:
    """Return the public keys that verify the feed's signatures (RFC 7517), including former ones."""
    response = flask.Response(request.deps(Deps).jwks, content_type=KEYS_TYPE)
    response.cache_control.public = True
    response.cache_control.max_age = _KEYS_SECONDS
    return response


@dataclass(frozen=True, kw_only=True)
class _Page:
    reader: str
    head: int
    events: Sequence[Envelope]


def _page(der: bytes, query: dict[str, int]) -> _Page:
    """Return a page in one transaction, if the reader is authorised at this time."""
    with request.transaction() as tx:
        reader = readers.authorise(tx.conn, der, Action.READ_EVENTS, tx.now)
        head = store.newest(tx.conn).position
        if query["after"] > head:
            raise PositionAhead(query["after"], head)
        events = store.page(tx.conn, after=query["after"], limit=query["limit"], max_bytes=PAGE_BYTES)
    return _Page(reader=reader.reader, head=head, events=events)


def _batch(page: _Page, query: dict[str, int]) -> flask.Response:
    last = page.events[-1].position if page.events else query["after"]
    READ.labels(page.reader).set(query["after"])
    SENT.labels(page.reader).inc(len(page.events))
    body = msgspec.json.encode([codec.to_json(event) for event in page.events])
    response = flask.Response(body, content_type=BATCH_TYPE)
    response.headers["Feed-Head"] = str(page.head)
    following = urlencode({**query, "after": last})
    response.headers["Link"] = f'<{flask.request.path}?{following}>; rel="next"'
    return response


@contextmanager
def _client() -> Iterator[bytes]:
    """Yield the client's certificate, DER; counts and logs refused readers."""
    der = None
    try:
        der = client_certificate.parse(flask.request.headers.get(client_certificate.HEADER))
        yield der
    except Refused as refused:
        REFUSED.labels(refused.reason).inc()
        log.warning("feed.refused", reason=refused.reason, certificate_sha256=None if der is None else _name(der))
        raise


def _name(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
