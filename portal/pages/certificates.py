"""Pages "My certificates", the choice of certificates to renew, and the reissue of one."""

import re
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import languages, refusals, web
from portal.languages import gettext
from portal.web import FormError, check_form, signed_in
from shared.web.https_client import APIProblem

blp: Final = flask.Blueprint("certificates", __name__)
_MAX_ADDITIONAL_SERVERS: Final = 500
_MAX_NAMES: Final = 50


@blp.get("/<edition:edition>/certificates")
@signed_in
def overview() -> flask.Response:
    """Return the certificates of the organisation, each with a link to renew or the reason against it, and the
    renewals.
    """
    errors = (
        [FormError(gettext("Select at least one certificate to renew"), "srn")] if "none" in flask.request.args else []
    )
    return web.show(
        "certificates.html",
        subscriptions=web.get("/application/v1/subscriptions").json(),
        renewals=web.get("/application/v1/renewals").json(),
        errors=errors,
    )


@blp.route("/<edition:edition>/certificates/renewal", methods=["GET", "POST"])
@signed_in
def choose() -> Response:
    """Return the chosen certificates with the options that can be changed; create the draft when they are confirmed."""
    chosen = flask.request.values.getlist("srn")
    subscriptions = [s for s in web.get("/application/v1/subscriptions").json() if s["srn"] in chosen]
    if not subscriptions:
        return web.redirect("certificates.overview", none=1)
    if flask.request.method == "GET":
        typed = {field: web.kept().get(field, today) for s in subscriptions for field, today in _fields(s).items()}
        return web.show("choose.html", subscriptions=subscriptions, typed=typed)
    check_form()
    web.keep_form()
    typed = {field: flask.request.form.get(field, "").strip() for s in subscriptions for field in _fields(s)}
    items, errors = _items(subscriptions, typed)
    if not errors:
        body = {"items": items, "language": languages.edition().language.tag}
        try:
            renewal = web.post("/application/v1/renewals", body).json()
            return web.redirect("renewals.overview", renewal_id=renewal["id"])
        except APIProblem as problem:
            if problem.status == 401:
                raise
            field = f"names-{problem.document.get('srn')}" if problem.slug == "server-names-refused" else "continue"
            errors = [FormError(_naming(problem), field)]
    return web.show("choose.html", subscriptions=subscriptions, typed=typed, errors=errors)


@blp.route("/<edition:edition>/certificates/reissue", methods=["GET", "POST"])
@signed_in
def reissue() -> Response:
    """Return what a reissue of one certificate is; create its draft when it is confirmed."""
    wanted = flask.request.values.get("srn")
    found = [s for s in web.get("/application/v1/subscriptions").json() if s["srn"] == wanted]
    if not found:
        return web.redirect("certificates.overview")
    errors = []
    if flask.request.method == "POST":
        check_form()
        body = {"kind": "reissue", "items": [{"srn": wanted}], "language": languages.edition().language.tag}
        try:
            draft = web.post("/application/v1/renewals", body).json()
            return web.redirect("renewals.overview", renewal_id=draft["id"])
        except APIProblem as problem:
            if problem.status == 401:
                raise
            errors = [FormError(_naming(problem), "continue")]
    return web.show("reissue.html", subscription=found[0], errors=errors)


def _fields(subscription: dict[str, Any]) -> dict[str, str]:
    """Return the fields in which a renewal of this subscription can be changed, with their values of today."""
    srn = subscription["srn"]
    if subscription["product"] == "wildcard":
        return {f"servers-{srn}": str(subscription["additional_servers"])}
    if subscription["product"] == "multi-domain":
        return {f"names-{srn}": "\n".join(subscription["server_names"])}
    return {}


def _items(subscriptions: list[dict[str, Any]], typed: dict[str, str]) -> tuple[list[dict[str, Any]], list[FormError]]:
    """Return the requested items, and the errors of the form."""
    items: list[dict[str, Any]] = []
    errors = []
    for subscription in subscriptions:
        srn = subscription["srn"]
        item: dict[str, Any] = {"srn": srn}
        if subscription["product"] == "wildcard":
            number = typed[f"servers-{srn}"]
            if re.fullmatch(r"[0-9]{1,3}", number) and int(number) <= _MAX_ADDITIONAL_SERVERS:
                item["additional_servers"] = int(number)
            else:
                text = gettext("Enter the number of additional servers of %(name)s, from 0 to 500")
                errors.append(FormError(text % {"name": subscription["server_names"][0]}, f"servers-{srn}"))
        if subscription["product"] == "multi-domain":
            names = re.split(r"[\s,;]+", typed[f"names-{srn}"].strip(" ,;\r\n\t"))
            if 1 <= len(names) <= _MAX_NAMES and names != [""]:
                item["server_names"] = names
            else:
                errors.append(FormError(gettext("Enter between 1 and 50 server names"), f"names-{srn}"))
        items.append(item)
    return items, errors


def _naming(problem: APIProblem) -> str:
    """Return the problem's message, with the SRN concerned."""
    srn = problem.document.get("srn")
    message = " ".join(
        [refusals.translated(problem), *(f"({name})" for name in problem.document.get("server_names", []))]
    )
    return f"SRN {srn}: {message}" if srn else message
