"""Application factory: a service's WSGI app, with the checks, log and problems of every request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import flask
import structlog

from shared.db import UNAVAILABLE, Pool
from shared.observability import tracing
from shared.security.tokens import KeySet
from shared.tx import Clock, utc_now
from shared.validation import budgets
from shared.web import commands, problems, request, request_metrics
from shared.web.idempotency import FingerprintKey
from shared.web.openapi import SAME_HOST, Blueprint
from shared.web.problem_api import ProblemApi, render
from shared.web.problems import ProblemTable
from shared.web.request import Runtime

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 256 * 1024


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
        problems={**commands.PROBLEMS, **problem_table},
        service=service,
        fingerprints=fingerprints,
        account=account or (lambda: request.caller().ar_id),
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


def _begin() -> flask.Response | None:
    flask.g.request_id = request.read_request_id()
    flask.g.client_ids = request.read_client_ids()
    request_metrics.begin()
    budgets.check(flask.request)
    if not budgets.is_readable(flask.request):
        return render(problems.MALFORMED, None)
    return None


def _link_client() -> None:
    if (theirs := flask.g.client_ids.get("client_traceparent")) is not None:
        tracing.link(theirs)


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
    problem = problems.find(request.runtime().problems, error)
    if problem is not None:
        return render(problem, str(error) or None, **getattr(error, "extensions", {}))
    if isinstance(error, UNAVAILABLE):
        log.warning("http.database_unavailable", error=str(error))
        return render(problems.UNAVAILABLE, None)
    log.error("http.failed", exc_info=error, request_id=flask.g.get("request_id"))
    return render(problems.INTERNAL, None)
