"""Test of an e-Cert: shows what is right and wrong with it, in plain words, without a sign-in."""

import json
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import messages, refusals, session, web
from portal.pages import signing_in
from portal.web import FormError
from shared.web.https_client import APIProblem

blp: Final = flask.Blueprint("testing", __name__, url_prefix="/<edition:edition>/test-e-cert")


@blp.get("")
def overview() -> flask.Response:
    """Return the ways to present an e-Cert, or why the last one could not be examined."""
    problem = flask.request.args.get("problem", "")
    errors = [FormError(refusals.sign_in_problem(problem), "test")] if problem else []
    return web.show("test.html", errors=errors)


@blp.get("/start")
def start() -> Response:
    """Redirect to the sign-in host, which examines the browser's certificate."""
    return signing_in.to_sign_in_host(flask.url_for("testing.result"), test=True)


@blp.get("/result")
def result() -> Response:
    """Return the findings, as long as the session keeps them."""
    kept = session.kept(signing_in.REPORT_PLACE).get("report")
    if kept is None:
        return web.redirect("testing.overview")
    report: dict[str, Any] = json.loads(kept)
    return web.show("test_result.html", report=report, rows=[_row(each, report) for each in report["findings"]])


def _row(finding: dict[str, Any], report: dict[str, Any]) -> dict[str, str]:
    return {
        "title": messages.check(finding["check"]),
        "verdict": messages.verdict(finding["made"], finding["fault"]),
        "text": messages.finding(finding, report),
    }


@blp.route("/file", methods=["GET", "POST"])
def file() -> Response:
    """Examine an e-Cert in a file, by a signed challenge."""
    if flask.request.method == "GET":
        return _ask()
    web.check_form()
    given = flask.request.form
    answer = {"challenge_id": given.get("challenge_id", ""), "signature": given.get("signature-base64", "")}
    try:
        signing_in.keep_report(web.deps().api.post("/identity/v1/challenge-tests", answer).json())
    except APIProblem as problem:
        return _ask(FormError(refusals.sign_in_problem(problem.reason, problem.slug), "p12"))
    return web.redirect("testing.result")


def _ask(*errors: FormError) -> flask.Response:
    return web.show("test_file.html", errors=errors, **signing_in.ask_challenge())
