"""Payment pages: authenticate the payer again, open the provider's checkout, return from it."""

import hashlib
import uuid
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import languages, session, web
from portal.pages import renewals, signing_in
from portal.web import signed_in
from shared.web.https_client import APIProblem, APIUnavailable

blp: Final = flask.Blueprint("payment", __name__)
_PAGE: Final = "/<edition:edition>/renewals/<uuid:renewal_id>/payment"
# Problems that pass: payment has not received the submission yet, or the provider is unavailable.
_LATER: Final = ("payment-not-ready", "unavailable", "provider-unavailable", "idempotency-key-in-use")


@blp.get(_PAGE)
@signed_in
def overview(renewal_id: uuid.UUID) -> Response:
    """Return the amount to pay, and the button to pay it."""
    renewal = renewals.load(renewal_id)
    if renewal["state"] == "draft":
        return web.redirect("renewals.sign", renewal_id=renewal_id)
    if renewal["kind"] == "reissue":
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    payment = _payment(renewal_id)
    if payment is not None and payment["state"] == "captured":
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    return web.show("payment.html", renewal=renewal, payment=payment)


def _payment(renewal_id: uuid.UUID) -> dict[str, Any] | None:
    try:
        payment: dict[str, Any] = web.get(f"/payment/v1/payments/{renewal_id}").json()
    except APIProblem as problem:
        if problem.slug == "payment-not-ready":
            return None
        raise
    return payment


@blp.get(_PAGE + "/authorise")
@signed_in
def authorise(renewal_id: uuid.UUID) -> Response:
    """Redirect to the sign-in host, which authenticates the payer."""
    renewals.load(renewal_id)
    then = flask.url_for("payment.checkout", renewal_id=renewal_id)
    token = "token" in flask.request.args or session.current().with_token
    return signing_in.to_sign_in_host(then, str(renewal_id), token=token)


@blp.get(_PAGE + "/checkout")
@signed_in
def checkout(renewal_id: uuid.UUID) -> Response:
    """Open the provider's checkout and continue there, once it is ready."""
    held = session.current()
    if held.paying != str(renewal_id) or not held.authorisation:
        return web.redirect("payment.overview", renewal_id=renewal_id)
    body = {"renewal_id": str(renewal_id), "authorisation": held.authorisation}
    # Derived from the authorisation, so that reloading the page opens no second checkout.
    key = hashlib.sha256(held.authorisation.encode()).hexdigest()[:32]
    try:
        url = web.post("/payment/v1/checkouts", body, key=key).json()["checkout_url"]
    except APIUnavailable:
        return _wait(renewal_id)
    except APIProblem as problem:
        if problem.slug in _LATER:
            return _wait(renewal_id)
        held.authorisation = ""
        if problem.slug == "already-paid":
            return web.redirect("renewals.overview", renewal_id=renewal_id)
        raise
    if not web.is_web_address(url):
        raise APIUnavailable("the checkout has no address")
    return _leave_for(url, renewal_id)


def _leave_for(url: str, renewal_id: uuid.UUID) -> Response:
    """Return a page that continues to the provider by itself.

    Not a redirect: if the e-Cert file authenticated the payer, the browser arrives here from a form, and it applies the
    form's `form-action 'self'` (CSP Level 3) to every redirect that follows, so the provider would be blocked.
    """
    response = web.show("payment_opening.html", url=url, renewal_id=renewal_id)
    response.headers["Refresh"] = f"0; url={url}"
    return response


def _wait(renewal_id: uuid.UUID) -> Response:
    return web.show_waiting("payment_opening.html", renewal_id=renewal_id)


@blp.get("/renewals/<uuid:renewal_id>")
def arrive(renewal_id: uuid.UUID) -> Response:
    """Redirect an arrival from the provider, or from an e-mail's link, to the next step in the earlier language."""
    known = session.current().edition
    edition = known or str(languages.negotiate(list(flask.request.accept_languages.values())).path)
    return web.redirect("payment.returned", renewal_id=renewal_id, edition=edition)


@blp.get(_PAGE + "/returned")
@signed_in
def returned(renewal_id: uuid.UUID) -> Response:
    """Wait for the provider's result, without a script."""
    renewal = renewals.load(renewal_id)
    if renewal["state"] != "awaiting-payment":
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    return web.show_waiting("payment_returned.html", renewal=renewal)


@blp.get(_PAGE + "/receipt")
@signed_in
def receipt(renewal_id: uuid.UUID) -> flask.Response:
    """Return the receipt, to print or to save."""
    renewal = renewals.load(renewal_id)
    return web.show(
        "receipt.html", renewal=renewal, receipt=web.get(f"/payment/v1/payments/{renewal_id}/receipt").json()
    )
