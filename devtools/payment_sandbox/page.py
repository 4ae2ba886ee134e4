"""Hosted checkout page: plain HTML forms, no script, and the redirect to the merchant."""

import time
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from devtools.payment_sandbox import sessions
from devtools.payment_sandbox.api import shop
from devtools.payment_sandbox.sessions import Failure

blp: Final = Blueprint("page", __name__, template_folder="templates")
# ISO 4217 currencies whose minor unit is not a hundredth.
_EXPONENTS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "KWD": 3}


@blp.get("/checkout/<page_token>")
def show(page_token: str) -> Response:
    """Return the payer's page."""
    return _page(page_token)


@blp.post("/checkout/<page_token>")
def decide(page_token: str) -> BaseResponse:
    """Handle the payer's choice. Leaving without payment keeps the session open."""
    decision = request.form.get("decision", "")
    if decision not in {"pay", "decline", "cancel"}:
        raise Failure(HTTPStatus.BAD_REQUEST, "bad_decision", "The decision is pay, decline or cancel")
    with shop().store.transaction() as conn:
        row = sessions.load_page(conn, page_token, now=time.time())
        if row["status"] == "open" and decision == "pay":
            sessions.pay(conn, row, now=time.time())
        if row["status"] == "open" and decision == "decline":
            sessions.decline(conn, row, now=time.time())
    shop().deliverer.wake.set()
    if decision == "decline" or row["status"] in {"cancelled", "expired"}:
        return redirect(request.path, HTTPStatus.SEE_OTHER)
    return redirect(row["return_url"], HTTPStatus.SEE_OTHER)  # only to the merchant's address


def _page(page_token: str) -> Response:
    with shop().store.transaction() as conn:
        row = sessions.load_page(conn, page_token, now=time.time())
        declined = conn.execute("SELECT 1 FROM declines WHERE session_id = ?", (row["id"],)).fetchone() is not None
    answer = make_response(
        render_template(
            "checkout.html",
            description=row["description"],
            amount=written_amount(row["amount_minor"], row["currency"]),
            status=row["status"],
            declined=declined,
            return_url=row["return_url"],
        )
    )
    parts = urlsplit(row["return_url"])
    # The form posts to this page, and the answer redirects to the merchant; browsers check both against form-action.
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none';"
        f" form-action 'self' {parts.scheme}://{parts.netloc}"
    )
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def written_amount(minor: int, currency: str) -> str:
    """Return the amount, formatted: HKD 2,500.00."""
    exponent = _EXPONENTS.get(currency, 2)
    return f"{currency} {minor / 10**exponent:,.{exponent}f}"
