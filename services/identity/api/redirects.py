"""Redirects from the sign-in host to the portal, with a code or with the reason why there is none."""

from collections.abc import Callable
from http import HTTPStatus

import flask

from services.identity import authorising
from services.identity.api.blueprint import blp, deps
from services.identity.authorising import Authorise
from services.identity.problems import PROBLEMS
from services.identity.refusals import AuthorisationRefused
from shared.db import UNAVAILABLE
from shared.errors import Refused
from shared.web import problems

redirects_to_portal = blp.response(
    303,
    {"type": "string"},
    content_type="text/html",
    description="Redirect to redirect_uri, with `code` or `error`, and `state`",
    headers={"Location": {"required": True, "schema": {"type": "string", "format": "uri"}}},
)


def redirect_with_code(make: Callable[[Authorise], str]) -> flask.Response:
    """Redirect to the portal with a code, or with the reason why there is none."""
    given = flask.request.args.getlist
    redirect_uri = authorising.read_redirect_uri(given("redirect_uri"), deps().redirect_uris)
    state = authorising.read_state(given("state"))
    try:
        if state is None:
            raise AuthorisationRefused("state must be one of 8 to 1024 visible ASCII characters")
        command = authorising.read_authorise(
            redirect_uri,
            challenges=given("code_challenge"),
            methods=given("code_challenge_method"),
            renewals=given("renewal_id"),
        )
        code = make(command)
    except (Refused, *UNAVAILABLE) as error:
        problem = problems.find(PROBLEMS, error) or problems.UNAVAILABLE
        reason = getattr(error, "extensions", {}).get("reason")
        return _redirect(redirect_uri, error=problem.slug, reason=reason, state=state)
    return _redirect(redirect_uri, code=code, state=state)


def _redirect(redirect_uri: str, **parameters: str | None) -> flask.Response:
    response = flask.redirect(authorising.going_back(redirect_uri, **parameters), HTTPStatus.SEE_OTHER)
    response.headers["Referrer-Policy"] = "no-referrer"
    return flask.make_response(response)
