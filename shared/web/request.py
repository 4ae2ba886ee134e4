"""Request context for views: the factory's dependencies, the caller, transactions, and the ids of the request."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import flask

from shared.db import Pool
from shared.observability import tracing
from shared.security.tokens import KeySet
from shared.tx import Clock, Tx
from shared.web.auth import Caller, caller_of
from shared.web.idempotency import FingerprintKey
from shared.web.problems import ProblemTable

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

D = TypeVar("D")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Dependencies that the factory gives each request."""

    pool: Pool
    keys: KeySet
    deps: object
    clock: Clock
    problems: ProblemTable
    service: str
    fingerprints: FingerprintKey
    # The account to which an Idempotency-Key belongs.
    account: Callable[[], str]


def runtime() -> Runtime:
    """Return the factory's dependencies."""
    return cast(Runtime, flask.current_app.extensions["ecert"])


def deps(kind: type[D]) -> D:
    """Return the service's own dependencies, as main.py built them."""
    found = runtime().deps
    assert isinstance(found, kind)
    return found


def caller() -> Caller:
    """Return the signed-in AR. Raises Unauthenticated or TokenRefused."""
    return caller_of(flask.request.headers.get("Authorization"), keys=runtime().keys, now=runtime().clock())


@contextmanager
def transaction() -> Iterator[Tx]:
    """Yield a transaction for this request."""
    with runtime().pool.connection() as conn, conn.transaction():
        yield Tx(
            conn=conn,
            now=runtime().clock(),
            new_id=uuid.uuid4,
            causation_id=flask.g.request_id,
            traceparent=_traceparent(),
        )


def _traceparent() -> str | None:
    """Return the traceparent of this request's span; without a collector the caller's, which is the gateway or the
    desk.
    """
    given = flask.request.headers.get("traceparent", "")
    return tracing.current() or (given if _TRACEPARENT.fullmatch(given) else None)


def read_request_id() -> str:
    """Return the X-Request-Id of the gateway or the desk, or a new id."""
    given = flask.request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def read_client_ids() -> dict[str, str]:
    """Return the client's ids of request and trace, as the gateway passes them on: for the log only.

    They are never in an audit row or event, since a client may repeat them, or use another's.
    """
    headers = flask.request.headers
    given = {
        "client_request_id": (_REQUEST_ID, headers.get("X-Client-Request-Id", "")),
        "client_traceparent": (_TRACEPARENT, headers.get("X-Client-Traceparent", "")),
    }
    return {name: value for name, (form, value) in given.items() if form.fullmatch(value)}
