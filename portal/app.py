"""Application factory of the portal: languages, session, security headers and error pages."""

import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import flask
import structlog
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from portal import domain_words, languages, messages, refusals, session, web
from portal.languages import Edition, EditionConverter, gettext
from portal.pages import (
    certificates,
    csrs,
    domains,
    orders,
    payment,
    pins,
    public,
    renewals,
    revocations,
    signing_in,
    testing,
)
from portal.web import Deps, FormExpired, SignInNeeded
from shared.validation import budgets
from shared.web import html, request_metrics
from shared.web.https_client import APIProblem, APIUnavailable

log = structlog.get_logger()

# A signature as a file and once more in Base64, plus the other fields of the form.
MAX_BODY_BYTES: Final = 192 * 1024


def create_app(deps: Deps) -> flask.Flask:
    """Return the portal as a WSGI app."""
    app = html.create_app("portal", Path(__file__).parent)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["portal"] = deps
    _prepare_templates(app, deps)
    app.url_map.converters["edition"] = EditionConverter
    app.before_request(_begin)
    app.after_request(_end)
    app.url_value_preprocessor(_take_edition)
    app.url_defaults(_give_edition)
    for module in (
        public,
        signing_in,
        certificates,
        renewals,
        payment,
        orders,
        csrs,
        pins,
        domains,
        revocations,
        testing,
    ):
        app.register_blueprint(module.blp)
    app.register_error_handler(Exception, _handle)
    return app


def _prepare_templates(app: flask.Flask, deps: Deps) -> None:
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        lambda text: languages.translations(languages.edition().language).gettext(text),
        lambda one, many, count: languages.translations(languages.edition().language).ngettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.globals |= {
        "csrf_token": session.csrf_token,
        "once": lambda: uuid.uuid4().hex,
        "session": session.current,
        "edition": languages.edition,
        "languages": languages.LANGUAGES,
        "edition_url": _edition_url,
        "edition_in": lambda language: Edition(language, text=languages.edition().text),
        "settings": deps.settings,
        "names": messages,
        "domain_words": domain_words,
        "refusals": refusals,
    }
    app.jinja_env.filters |= {
        "money": languages.money,
        "day": languages.day,
        "clock": languages.clock,
    }


def _edition_url(language: languages.Language | None = None, text: bool | None = None) -> str:
    """Return the address of this page in another language or mode; of the start page if the page has none."""
    now = languages.edition()
    wanted = Edition(language or now.language, text=now.text if text is None else text)
    if flask.request.endpoint is None or "edition" not in flask.g:
        return flask.url_for("public.start", edition=wanted)
    query = flask.request.args.to_dict(flat=False) if flask.request.method == "GET" else {}
    values = {**query, **(flask.request.view_args or {}), "edition": wanted}
    return flask.url_for(flask.request.endpoint, **values)


def _begin() -> None:
    request_metrics.begin()
    structlog.contextvars.clear_contextvars()
    session.load(web.deps().settings.session_keys)
    budgets.check(flask.request)


def _end(response: flask.Response) -> flask.Response:
    html.protect(response)
    if "session" in flask.g:
        session.save(response, web.deps().settings.session_keys)
    request_metrics.end(response)
    return response


def _take_edition(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values and "edition" in values:
        flask.g.edition = values.pop("edition")
    elif endpoint is None and (edition := languages.edition_of(flask.request.path)) is not None:
        # The refusal of an unknown page is shown in the language of its address.
        flask.g.edition = edition


def _give_edition(endpoint: str, values: dict[str, Any]) -> None:
    if "edition" not in values and flask.current_app.url_map.is_endpoint_expecting(endpoint, "edition"):
        values["edition"] = languages.edition()


def _handle(error: Exception) -> BaseResponse:
    """Return a failure as a page that says what to do, or as a redirect to it."""
    match error:
        case APIProblem(status=401, slug="sign-in-again"):
            return _to_sign_in("sign-in-again")
        case SignInNeeded() | APIProblem(status=401):
            session.current().token = ""
            return _to_sign_in("session-ended")
        case APIProblem(status=404):
            return _page(HTTPStatus.NOT_FOUND, gettext("Page not found"), refusals.of(error))
        case APIProblem():
            return _page(HTTPStatus.CONFLICT, gettext("This cannot be done now"), refusals.of(error))
        case APIUnavailable():
            log.warning("portal.api_unavailable", error=str(error))
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, gettext("Please try again in a moment"), refusals.UNAVAILABLE)
        case FormExpired():
            return _page(HTTPStatus.FORBIDDEN, gettext("Please send the form again"), refusals.FORM_EXPIRED)
        case HTTPException():
            return _http_error(error)
    log.exception("portal.failed", path=flask.request.path)
    return _page(HTTPStatus.INTERNAL_SERVER_ERROR, gettext("Something went wrong on our side"), refusals.INTERNAL)


def _to_sign_in(problem: str) -> BaseResponse:
    """Redirect to the sign-in, and back to the same page afterwards, with the form's input kept."""
    if flask.request.method == "POST" and session.csrf_matches(flask.request.form.get("csrf", "")):
        web.keep_form()
    return web.redirect("signing_in.sign_in", next=flask.request.full_path.rstrip("?"), problem=problem)


def _http_error(error: HTTPException) -> BaseResponse:
    if error.code == HTTPStatus.NOT_FOUND:
        return _page(HTTPStatus.NOT_FOUND, gettext("Page not found"), refusals.NOT_FOUND)
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, gettext("This file is too large"), refusals.TOO_LARGE)
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()
    return _page(HTTPStatus(error.code), gettext("This cannot be done now"), refusals.INTERNAL)


def _page(status: HTTPStatus, title: str, message: str) -> BaseResponse:
    if not flask.g.get("session"):
        flask.g.session = session.Session()
    body = flask.render_template("error.html", title=title, message=gettext(message), errors=())
    return flask.Response(body, status, content_type="text/html; charset=utf-8")
