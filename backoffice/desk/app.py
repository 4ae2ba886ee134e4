"""Application factory of the desk: authenticates staff before each page and shows each failure as a page."""

import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Final

import flask
import structlog
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from backoffice.desk import roles, staff, web, words
from backoffice.desk.pages import audit as audit_pages
from backoffice.desk.pages import certificates, envelopes, evidence, held, renewals
from backoffice.desk.staff import Fault, RevocationUnknown, StaffRefused
from backoffice.desk.web import Deps, ForeignForm, NotAllowed, NotThere
from shared import audit
from shared.db import UNAVAILABLE
from shared.observability import tracing
from shared.validation import budgets
from shared.web import client_certificate, html, request_metrics

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 256 * 1024
_STATIC: Final = "static"


def create_app(deps: Deps) -> flask.Flask:
    """Return the desk as a WSGI app."""
    app = html.create_app("desk", Path(__file__).parent)
    app.config |= {"MAX_CONTENT_LENGTH": MAX_BODY_BYTES, "PROPAGATE_EXCEPTIONS": False}
    app.extensions["desk"] = deps
    app.jinja_env.globals |= {
        "member": lambda: flask.g.get("member"),
        "may": web.may,
        "once": lambda: uuid.uuid4().hex,
        "words": words,
    }
    app.jinja_env.filters |= words.FILTERS
    app.before_request(_begin)
    app.after_request(_end)
    for module in (certificates, renewals, envelopes, held, evidence, audit_pages):
        app.register_blueprint(module.blp)
    app.register_error_handler(Exception, _handle)
    tracing.instrument(app)
    return app


def _begin() -> None:
    """Authenticate the member of staff before each page. Static files need no sign-in: the refusal page uses them."""
    request_metrics.begin()
    structlog.contextvars.clear_contextvars()
    flask.g.request_id = uuid.uuid4().hex
    budgets.check(flask.request)
    if flask.request.endpoint == _STATIC:
        return
    deps = web.deps()
    holder = staff.holder_of(flask.request.headers.get(client_certificate.HEADER), deps.trust, deps.clock())
    with deps.pool.connection() as conn:
        flask.g.member = staff.find_member(conn, holder)
    _check_allowed()
    _check_form()


def _check_allowed() -> None:
    endpoint = flask.request.endpoint
    if endpoint is None:
        return  # no such page
    action = roles.PAGES.get(endpoint)
    if action is None or not roles.allowed(web.member().roles, action):
        raise NotAllowed(endpoint)


def _check_form() -> None:
    """Reject a form that was not on a page of the desk: any site's request would carry the client certificate."""
    headers = flask.request.headers
    if flask.request.method not in ("GET", "HEAD") and headers.get("Origin") != web.deps().settings.url:
        raise ForeignForm(headers.get("Origin", "none"))
    site = headers.get("Sec-Fetch-Site", "none")
    if flask.request.endpoint in roles.RECORDED and site not in ("none", "same-origin"):
        raise ForeignForm(site)


def _end(response: flask.Response) -> flask.Response:
    html.protect(response)
    route, seconds = request_metrics.end(response)
    if route != "/static/<path:filename>":
        log.info(
            "http.request",
            method=flask.request.method,
            route=route,
            status=response.status_code,
            milliseconds=round(seconds * 1000, 1),
            staff=web.member().id if "member" in flask.g else None,
            request_id=flask.g.get("request_id"),
        )
    return response


def _handle(error: Exception) -> BaseResponse:
    """Return a failure as a page that says what to do."""
    match error:
        case StaffRefused():
            _note_refusal(error)
            status = HTTPStatus.UNAUTHORIZED if error.fault is Fault.NO_CERTIFICATE else HTTPStatus.FORBIDDEN
            return _page(status, *words.REFUSALS[error.fault])
        case NotAllowed():
            return _page(HTTPStatus.FORBIDDEN, *words.NOT_ALLOWED)
        case NotThere():
            return _page(HTTPStatus.NOT_FOUND, *words.NOT_FOUND)
        case ForeignForm():
            return _page(HTTPStatus.FORBIDDEN, *words.FOREIGN_FORM)
        case RevocationUnknown():
            log.error("desk.revocation_unknown", error=str(error))
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, *words.REVOCATION_UNKNOWN)
        case _ if isinstance(error, UNAVAILABLE):
            log.warning("desk.unavailable", error=f"{type(error).__name__}: {error}")
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, *words.UNAVAILABLE)
        case HTTPException() if error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return error.get_response() if error.code < HTTPStatus.BAD_REQUEST else _http_error(error.code)
    log.error("desk.failed", exc_info=error, request_id=flask.g.get("request_id"))
    return _page(HTTPStatus.INTERNAL_SERVER_ERROR, *words.FAILED)


def _http_error(code: int) -> BaseResponse:
    return _page(HTTPStatus(code), *(words.NOT_FOUND if code == HTTPStatus.NOT_FOUND else words.NOT_UNDERSTOOD))


def _note_refusal(error: StaffRefused) -> None:
    """Audit a refused sign-in if the certificate names a person."""
    log.warning("desk.refused", fault=error.fault, staff=error.holder.staff_id if error.holder else None)
    if error.holder is not None:
        details = {"why": error.fault.value, "certificate_sha256": error.holder.certificate_sha256}
        with web.transaction() as tx:
            audit.record(tx, actor=error.holder.staff_id, action="not-let-in", subject="desk", details=details)


def _page(status: HTTPStatus, title: str, text: str) -> BaseResponse:
    return web.show("error.html", status=status, title=title, text=text)
