"""WSGI app of a perspective: `POST /v1/observations`, for the holder of a client certificate of the given CA."""

from http import HTTPStatus

import flask
import structlog
from werkzeug.exceptions import HTTPException

from perspective.observing import Observer
from perspective.settings import Settings
from shared.pki.observations import MAX_INQUIRY_BYTES, Outcome, Report, Unreadable, read_inquiry
from shared.validation import budgets
from shared.web import problems, request_metrics
from shared.web.problems import Problem

log = structlog.get_logger()

UNREADABLE = Problem(problems.INVALID.status, Unreadable.reason, "Request is not an inquiry within the limits")


def create_app(settings: Settings, observer: Observer) -> flask.Flask:
    """Return the app."""
    app = flask.Flask("perspective", static_folder=None)
    app.config |= {"MAX_CONTENT_LENGTH": MAX_INQUIRY_BYTES, "PROPAGATE_EXCEPTIONS": False}
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(Exception, _handle)
    host, port = settings.resolver
    resolver = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @app.post("/v1/observations")
    def observe() -> flask.Response:
        inquiry = read_inquiry(flask.request.get_data())
        observations = observer.observe(inquiry.questions)
        failed = sorted({each.reason for each in observations if each.outcome is Outcome.FAILED and each.reason})
        log.info(
            "perspective.observed",
            attempt_id=str(inquiry.attempt_id),
            questions=len(inquiry.questions),
            failed=failed,
        )
        report = Report(
            perspective=settings.name,
            resolver=resolver,
            attempt_id=inquiry.attempt_id,
            observations=observations,
        )
        return flask.jsonify(report.document())

    return app


def _begin() -> None:
    request_metrics.begin()
    budgets.check(flask.request)


def _end(response: flask.Response) -> flask.Response:
    request_metrics.end(response)
    response.headers["Cache-Control"] = "no-store"
    return response


def _handle(error: Exception) -> flask.Response:
    """Return a failure as a problem document (RFC 9457)."""
    match error:
        case Unreadable():
            return _problem(UNREADABLE, str(error))
        case HTTPException(code=413):
            return _problem(problems.TOO_LARGE, f"at most {MAX_INQUIRY_BYTES} bytes")
        case HTTPException(code=int(code)) if code < 500:
            name = error.name.lower().replace(" ", "-")
            return _problem(Problem(HTTPStatus(code), name, error.name), None)
    log.error("http.failed", exc_info=error)
    return _problem(problems.INTERNAL, None)


def _problem(problem: Problem, detail: str | None) -> flask.Response:
    response = flask.jsonify(problem.body(detail))
    response.status_code = int(problem.status)
    response.mimetype = problems.MEDIA_TYPE
    return response
