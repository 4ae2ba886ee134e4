"""Sign-in: at the sign-in host with a client certificate, and back with a one-time code (PKCE, RFC 7636)."""

import base64
import hashlib
import json
import secrets
import time
import uuid
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import flask
import structlog
from werkzeug.wrappers import Response

from portal import languages, refusals, session, web
from portal.session import Pending, Session
from portal.web import FormError
from shared.web.https_client import APIProblem, APIUnavailable

log = structlog.get_logger()
blp: Final = flask.Blueprint("signing_in", __name__)
_CALLBACK: Final = "/signed-in"
_HOME: Final = "/en/certificates"
REPORT_PLACE: Final = "/test-e-cert/result"


@blp.get("/<edition:edition>/sign-in")
def sign_in() -> flask.Response:
    """Return the page shown before the browser asks for the certificate."""
    given = flask.request.args
    problem = given.get("problem", "")
    then = web.own_path(given.get("next", "")) or flask.url_for("certificates.overview")
    if problem in ("session-ended", "sign-in-again"):
        return web.show("sign_in.html", then=then, ended=problem == "session-ended", again=problem == "sign-in-again")
    errors = [FormError(refusals.sign_in_problem(problem), "sign-in")] if problem else []
    return web.show("sign_in.html", then=then, renewal_id=_renewal(given.get("renewal_id", "")), errors=errors)


@blp.get("/<edition:edition>/sign-in/start")
def start() -> Response:
    """Redirect to the sign-in host."""
    then = web.own_path(flask.request.args.get("next", "")) or flask.url_for("certificates.overview")
    return to_sign_in_host(then, token="token" in flask.request.args)


def to_sign_in_host(then: str, renewal_id: str | None = None, *, test: bool = False, token: bool = False) -> Response:
    """Redirect to the sign-in host: to sign in, to authenticate the payer of a renewal, or to test an e-Cert."""
    pending = Pending(
        state=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        then=then,
        renewal_id=renewal_id,
        test=test,
        token=token,
    )
    session.current().pending = pending
    digest = hashlib.sha256(pending.verifier.encode()).digest()
    query = {
        "redirect_uri": redirect_uri(),
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "state": pending.state,
    }
    if renewal_id is not None:
        query["renewal_id"] = renewal_id
    path = "/identity/v1/certificate-tests" if test else "/identity/v1/authorise"
    settings = web.deps().settings
    host = settings.token_sign_in_url if token else settings.sign_in_url
    return flask.redirect(f"{host}{path}?{urlencode(query)}", HTTPStatus.SEE_OTHER)


def redirect_uri() -> str:
    """Return the address to which the sign-in host redirects; it is registered there."""
    return web.deps().settings.portal_url + _CALLBACK


@blp.get(_CALLBACK)
def signed_in() -> Response:
    """Exchange the one-time code from the sign-in host for a new session."""
    pending, session.current().pending = session.current().pending, None
    given = flask.request.args
    if pending is None or not secrets.compare_digest(pending.state.encode(), given.get("state", "").encode()):
        # An old answer, or one that was not requested. An existing sign-in stays.
        return _back(pending, "sign-in-stale")
    if "code" not in given:
        return _back(pending, given.get("reason") or given.get("error") or "sign-in-stale")
    try:
        _exchange(given["code"], pending)
    except APIProblem as problem:
        return _back(pending, problem.slug)
    except APIUnavailable:
        return _back(pending, "unavailable")
    return flask.redirect(pending.then, HTTPStatus.SEE_OTHER)


def _exchange(code: str, pending: Pending) -> None:
    body = {"code": code, "code_verifier": pending.verifier, "redirect_uri": redirect_uri()}
    if pending.test:
        keep_report(web.deps().api.post("/identity/v1/certificate-test-results", body).json())
    else:
        _keep(
            web.deps().api.post("/identity/v1/codes", body).json(),
            pending.then,
            pending.renewal_id,
            with_token=pending.token,
        )


def keep_report(report: dict[str, Any]) -> None:
    """Keep the findings about an e-Cert for the page that shows them."""
    session.keep(REPORT_PLACE, {"report": json.dumps(report)})


def _keep(
    granted: dict[str, Any], then: str, renewal_id: str | None, *, with_file: bool = False, with_token: bool = False
) -> None:
    """Start a new session with a new form token: nothing of the session before survives the sign-in."""
    me = web.deps().api.get("/identity/v1/me", granted["access_token"]).json()
    flask.g.session = Session(
        csrf=secrets.token_urlsafe(24),
        token=granted["access_token"],
        ends=int(time.time()) + int(granted["expires_in"]),
        name=me["authorised_representative"]["name"],
        organisation=me["subscriber"]["name"],
        edition=_edition_of(then),
        with_file=with_file,
        with_token=with_token,
        paying=renewal_id or "",
        authorisation=granted.get("authorisation") or "",
        kept=session.current().kept,
    )


@blp.route("/<edition:edition>/sign-in/file", methods=["GET", "POST"])
def sign_in_with_file() -> Response:
    """Sign in with a signed challenge: for an e-Cert in a file that is neither in a browser nor in a token."""
    given = flask.request.values
    then = web.own_path(given.get("next", "")) or flask.url_for("certificates.overview")
    renewal_id = _renewal(given.get("renewal_id", ""))
    if flask.request.method == "GET":
        return _challenge(then, renewal_id)
    web.check_form()
    answer = {"challenge_id": given.get("challenge_id", ""), "signature": given.get("signature-base64", "")}
    try:
        granted = web.deps().api.post("/identity/v1/challenge-tokens", answer).json()
        _keep(granted, then, renewal_id, with_file=True)
    except APIProblem as problem:
        return _challenge(then, renewal_id, FormError(refusals.sign_in_problem(problem.reason, problem.slug), "p12"))
    return flask.redirect(then, HTTPStatus.SEE_OTHER)


def _challenge(then: str, renewal_id: str | None, *errors: FormError) -> flask.Response:
    return web.show(
        "sign_in_file.html", then=then, renewal_id=renewal_id, errors=errors, **ask_challenge(renewal_id=renewal_id)
    )


def ask_challenge(*, renewal_id: str | None = None) -> dict[str, str]:
    """Return a challenge to sign in the page, and the server's time."""
    body = {} if renewal_id is None else {"renewal_id": renewal_id}
    challenge = web.deps().api.post("/identity/v1/challenges", body).json()
    return {
        "document": base64.b64encode(challenge["document"].encode()).decode(),
        "time": languages.now().isoformat(timespec="seconds"),
        "challenge_id": challenge["challenge_id"],
    }


def _renewal(text: str) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None


def _edition_of(path: str) -> str:
    return str(languages.edition_of(path) or languages.edition())


def _back(pending: Pending | None, problem: str) -> Response:
    then = pending.then if pending is not None else _HOME
    if pending is not None and pending.test:
        return flask.redirect(f"/{_edition_of(then)}/test-e-cert?{urlencode({'problem': problem})}")
    query = {"next": then, "problem": problem}
    if pending is not None and pending.renewal_id is not None:
        query["renewal_id"] = pending.renewal_id
    return flask.redirect(f"/{_edition_of(then)}/sign-in?{urlencode(query)}", HTTPStatus.SEE_OTHER)


@blp.post("/<edition:edition>/sign-out")
def sign_out() -> Response:
    """End the session: delete its cookie, and invalidate all copies of it."""
    web.check_form()
    if session.current().signed_in:
        try:
            web.post("/identity/v1/session-ends")
        except (APIProblem, APIUnavailable) as error:
            # The browser deletes the cookie all the same; a copy would stay valid until the token expires.
            log.warning("portal.session_not_ended", error=str(error))
    flask.g.session = Session()
    return web.redirect("public.start", signed="out")
