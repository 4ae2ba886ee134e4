"""Application factory, and the request context for blueprints: caller, transaction, idempotency."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import flask
import structlog

from shared.db import UNAVAILABLE, Pool
from shared.observability import tracing
from shared.security.tokens import KeySet
from shared.tx import Clock, Tx, utc_now
from shared.validation import budgets
from shared.web import idempotency, openapi, problems, request_metrics
from shared.web.auth import Caller, caller_of
from shared.web.idempotency import Answer, FingerprintKey, KeyInUse, KeyMissing, KeyReused
from shared.web.openapi import SAME_HOST, Blueprint
from shared.web.problem_api import ProblemApi, render
from shared.web.problems import Problem, ProblemTable

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 256 * 1024
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_KEY: Final = re.compile(r"[\x21-\x7e]{8,200}")
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One for each thing you want done: the same key and body get the same answer",
    "schema": {"type": "string", "minLength": 8, "maxLength": 200, "pattern": "^[!-~]+$"},
}

_IDEMPOTENCY: Final[ProblemTable] = {
    KeyMissing: Problem(HTTPStatus.BAD_REQUEST, KeyMissing.reason, "Idempotency-Key header missing"),
    KeyInUse: Problem(
        HTTPStatus.CONFLICT, KeyInUse.reason, "Request with this Idempotency-Key in progress", retry_after=1
    ),
    KeyReused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, KeyReused.reason, "Idempotency-Key already used for another request"
    ),
}

D = TypeVar("D")
View = TypeVar("View", bound=Callable[..., Any])


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


def create_app(
    service: str,
    *,
    blueprints: Sequence[Blueprint],
    problem_table: ProblemTable,
    pool: Pool,
    keys: KeySet,
    fingerprints: FingerprintKey,
    deps: object,
    clock: Clock = utc_now,
    prefix: str | None = None,
    account: Callable[[], str] | None = None,
    servers: Sequence[Mapping[str, Any]] = SAME_HOST,
) -> flask.Flask:
    """Return a service's WSGI app, with routes under /<service>/v1 or the prefix; callers are ARs unless specified."""
    path = prefix or f"/{service}/v1"
    app = flask.Flask(service, static_folder=None)
    app.config |= {
        "API_TITLE": f"e-Cert renewal: {service}",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": path,
        "API_SPEC_OPTIONS": {"servers": list(servers)},
        "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
        "PROPAGATE_EXCEPTIONS": False,
    }
    app.extensions["ecert"] = Runtime(
        pool=pool,
        keys=keys,
        deps=deps,
        clock=clock,
        problems={**_IDEMPOTENCY, **problem_table},
        service=service,
        fingerprints=fingerprints,
        account=account or (lambda: caller().ar_id),
    )
    app.before_request(_begin)
    app.after_request(_end)
    api = ProblemApi(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint, url_prefix=path)
    app.register_error_handler(Exception, _handle)
    tracing.instrument(app)
    app.before_request(_link_client)  # the instrumentation opens its span in before_request, too
    return app


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


def tx() -> Tx:
    """Return the transaction of a `command`."""
    return cast(Tx, flask.g.tx)


def command(view: View) -> View:
    """Decorate a POST that changes state in one transaction: the same key and request get the same answer.

    The answer is stored in the transaction of the change, so both exist or neither. A refused request changes nothing,
    and is checked again when it is repeated.
    """

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> flask.Response:
        account, key, fingerprint = _idempotency_of_request()
        with transaction() as tx:
            earlier = idempotency.find(tx.conn, account=account, key=key, fingerprint=fingerprint)
            if earlier is not None:
                return _replay(earlier)
            flask.g.tx = tx
            response = flask.make_response(view(*args, **kwargs))
            _keep(tx, account, key, fingerprint, response)
            return response

    return _documented(cast(View, run))


def steps(view: View) -> View:
    """Decorate a POST with several short transactions of its own, because it waits for the outside in between.

    The key is claimed before the first transaction, so of two simultaneous requests with one key exactly one runs; the
    answer is stored after the last one. A failed request releases the key.
    """

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> flask.Response:
        account, key, fingerprint = _idempotency_of_request()
        with transaction() as tx:
            earlier = idempotency.find(tx.conn, account=account, key=key, fingerprint=fingerprint)
            if earlier is not None:
                return _replay(earlier)
            until = idempotency.begin(tx.conn, account=account, key=key, fingerprint=fingerprint, now=tx.now)
        try:
            response = flask.make_response(view(*args, **kwargs))
        except BaseException:
            with suppress(*UNAVAILABLE), transaction() as tx:
                idempotency.end(tx.conn, account=account, key=key, until=until)
            raise
        with transaction() as tx:
            if idempotency.end(tx.conn, account=account, key=key, until=until):
                _keep(tx, account, key, fingerprint, response)
        return response

    return _documented(cast(View, run))


def _documented(view: View) -> View:
    """Return the view with its Idempotency-Key and the refusals about it in the OpenAPI document."""
    openapi.add_parameter(view, _KEY_PARAMETER)
    return openapi.refuses(KeyMissing, KeyInUse, KeyReused)(view)


def _idempotency_of_request() -> tuple[str, str, str]:
    account = runtime().account()
    key = flask.request.headers.get("Idempotency-Key")
    if key is None or not _KEY.fullmatch(key):
        raise KeyMissing("send an Idempotency-Key of 8 to 200 visible ASCII characters")
    request = flask.request
    return account, key, runtime().fingerprints.of(request.method, request.full_path, request.get_data())


def _keep(tx: Tx, account: str, key: str, fingerprint: str, response: flask.Response) -> None:
    if response.status_code < 400:
        answer = Answer(
            status=response.status_code, body=response.get_data(), media_type=response.content_type or "text/plain"
        )
        idempotency.save(tx.conn, account=account, key=key, fingerprint=fingerprint, answer=answer, now=tx.now)


def _replay(answer: Answer) -> flask.Response:
    response = flask.make_response(answer.body, answer.status)
    response.headers["Content-Type"] = answer.media_type
    return response


def _begin() -> flask.Response | None:
    given = flask.request.headers.get("X-Request-Id", "")
    flask.g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    flask.g.client_ids = _client_ids()
    request_metrics.begin()
    budgets.check(flask.request)
    if _has_nul() or not _readable_json():
        return render(problems.MALFORMED, None)
    return None


def _link_client() -> None:
    if (theirs := flask.g.client_ids.get("client_traceparent")) is not None:
        tracing.link(theirs)


def _client_ids() -> dict[str, str]:
    """Return the client's ids of request and trace, as the gateway passes them on: for the log only.

    They are never in an audit row or event, since a client may repeat them, or use another's.
    """
    headers = flask.request.headers
    given = {
        "client_request_id": (_REQUEST_ID, headers.get("X-Client-Request-Id", "")),
        "client_traceparent": (_TRACEPARENT, headers.get("X-Client-Traceparent", "")),
    }
    return {name: value for name, (form, value) in given.items() if form.fullmatch(value)}


def _has_nul() -> bool:
    """Return whether path or query contain NUL, which PostgreSQL refuses."""
    request = flask.request
    return "\0" in request.path or any("\0" in part for pair in request.args.items(multi=True) for part in pair)


def _readable_json() -> bool:
    """Return whether the body is no JSON, or JSON that a schema may read.

    The body is always read: an unread one would break the gateway's connection in the middle of sending.
    """
    data = flask.request.get_data()
    return not data or not flask.request.is_json or budgets.is_readable_json(data)


def _end(response: flask.Response) -> flask.Response:
    route, seconds = request_metrics.end(response)
    response.headers["X-Request-Id"] = flask.g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    log.info(
        "http.request",
        method=flask.request.method,
        route=route,
        status=response.status_code,
        milliseconds=round(seconds * 1000, 1),
        request_id=flask.g.get("request_id"),
        **flask.g.get("client_ids", {}),
    )
    return response


def _handle(error: Exception) -> flask.Response:
    """Return a failure as a problem: known ones by the service's table, an unavailable database as 503, others as a
    bare 500.
    """
    problem = problems.find(runtime().problems, error)
    if problem is not None:
        return render(problem, str(error) or None, **getattr(error, "extensions", {}))
    if isinstance(error, UNAVAILABLE):
        log.warning("http.database_unavailable", error=str(error))
        return render(problems.UNAVAILABLE, None)
    log.error("http.failed", exc_info=error, request_id=flask.g.get("request_id"))
    return render(problems.INTERNAL, None)


def _traceparent() -> str | None:
    """Return the traceparent of this request's span; without a collector the caller's, which is the gateway or the
    desk.
    """
    given = flask.request.headers.get("traceparent", "")
    return tracing.current() or (given if _TRACEPARENT.fullmatch(given) else None)
