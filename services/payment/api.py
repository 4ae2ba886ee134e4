"""HTTP API of payment: checkouts, the provider's webhooks, the state of a payment, receipts."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import flask

from services.payment import handlers, provider, refund_store, store
from services.payment.domain import CheckoutId, Payment, PaymentState, Provider, Waiting
from services.payment.outcomes import RecordOutcome
from services.payment.refusals import (
    AlreadyPaid,
    AuthorisationRefused,
    AuthorisationUsed,
    NoReceiptYet,
    NotTheRepresentative,
    PaymentClosed,
    PaymentHeld,
    PaymentNotReady,
    ProviderRefused,
    ProviderUnavailable,
    WebhookRefused,
)
from services.payment.schemas import CheckoutSchema, OpenCheckoutSchema, PaymentSchema, ReceiptSchema
from services.payment.webhook import receive as receive_signed
from shared.security.tokens import TokenKind, TokenRefused, verify
from shared.tx import Tx
from shared.vocabulary import ARId, RenewalId, SubscriberId
from shared.web import commands, request
from shared.web.auth import Caller
from shared.web.openapi import Blueprint, for_everyone, refuses, signed_in
from shared.web.problem_api import KeySetSchema
from shared.web.problems import Problem, ProblemTable

blp: Final = Blueprint("payment", __name__, description="Payments for renewals")

PROBLEMS: Final[ProblemTable] = {
    PaymentNotReady: Problem(
        HTTPStatus.NOT_FOUND, PaymentNotReady.reason, "No payment for this renewal yet", retry_after=2
    ),
    NotTheRepresentative: Problem(
        HTTPStatus.FORBIDDEN, NotTheRepresentative.reason, "Payment is reserved to the AR who submitted the renewal"
    ),
    AuthorisationRefused: Problem(
        HTTPStatus.FORBIDDEN, AuthorisationRefused.reason, "Checkout authorisation not valid for this payment"
    ),
    AuthorisationUsed: Problem(HTTPStatus.CONFLICT, AuthorisationUsed.reason, "Checkout authorisation already used"),
    PaymentClosed: Problem(HTTPStatus.CONFLICT, PaymentClosed.reason, "Renewal can no longer be paid"),
    AlreadyPaid: Problem(HTTPStatus.CONFLICT, AlreadyPaid.reason, "Renewal already paid"),
    PaymentHeld: Problem(HTTPStatus.CONFLICT, PaymentHeld.reason, "Payment under review; do not pay again"),
    NoReceiptYet: Problem(HTTPStatus.NOT_FOUND, NoReceiptYet.reason, "No receipt before the payment is captured"),
    WebhookRefused: Problem(HTTPStatus.BAD_REQUEST, WebhookRefused.reason, "Webhook not accepted"),
    ProviderRefused: Problem(HTTPStatus.BAD_GATEWAY, ProviderRefused.reason, "Payment provider refused the checkout"),
    ProviderUnavailable: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        ProviderUnavailable.reason,
        "Payment provider unavailable; retry with the same Idempotency-Key",
        retry_after=5,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py."""

    provider: Provider
    record: RecordOutcome
    webhook_secrets: tuple[bytes, ...]
    return_url: str
    jwks: Mapping[str, Any]


@blp.post("/checkouts")
@signed_in
@refuses(
    PaymentNotReady,
    NotTheRepresentative,
    AuthorisationRefused,
    AuthorisationUsed,
    PaymentClosed,
    AlreadyPaid,
    PaymentHeld,
    ProviderRefused,
    ProviderUnavailable,
)
@commands.in_several_transactions
@blp.arguments(OpenCheckoutSchema)
@blp.response(HTTPStatus.OK, CheckoutSchema)
def open_checkout(body: Mapping[str, Any]) -> Mapping[str, object]:
    """Open the provider's checkout page for a renewal, or return the page that is already open."""
    deps = request.deps(Deps)
    command = _read_command(body, request.caller(), deps)
    with request.transaction() as tx:
        intent = handlers.intend_checkout(tx, command)
    if intent.checkout.url is not None:
        return _shown_checkout(intent.payment, intent.checkout.url)
    outcome = provider.open_session(deps.provider, intent.checkout)
    with request.transaction() as tx:
        payment = deps.record(tx, intent.payment.renewal_id, intent.checkout, outcome)
    payment.require_payable(tx.now)
    if not isinstance(outcome, Waiting):
        raise ProviderUnavailable("the provider's session has ended; ask again for a new one")
    return _shown_checkout(payment, outcome.session.checkout_url)


def _read_command(body: Mapping[str, Any], caller: Caller, deps: Deps) -> handlers.OpenCheckout:
    try:
        claims = verify(
            body["authorisation"],
            kind=TokenKind.CHECKOUT,
            keys=request.runtime().keys,
            now=request.runtime().clock(),
            issuer="identity",
        )
        authorised = Caller(
            ar_id=ARId(str(claims["sub"])),
            subscriber_id=SubscriberId(str(claims["subscriber_id"])),
            certificate_sha256=str(claims["certificate_sha256"]),
        )
        return handlers.OpenCheckout(
            renewal_id=RenewalId(body["renewal_id"]),
            caller=caller,
            authorised=authorised,
            authorised_renewal=str(claims["renewal_id"]),
            jti=str(claims["jti"]),
            idempotency_key=flask.request.headers["Idempotency-Key"],
            return_url=deps.return_url,
        )
    except (TokenRefused, KeyError) as error:
        raise AuthorisationRefused("get a new one from identity: it is good for five minutes, once") from error


def _shown_checkout(payment: Payment, url: str) -> Mapping[str, object]:
    return {**vars(payment), "payment_id": payment.id, "checkout_url": url}


@blp.post("/provider-webhooks")
@for_everyone
@refuses(WebhookRefused)
@blp.response(HTTPStatus.NO_CONTENT)
def receive_webhook() -> flask.Response:
    """Store a webhook of the provider and answer; the provider is queried later."""
    webhook = receive_signed(
        {name.lower(): value for name, value in flask.request.headers.items()},
        flask.request.get_data(),
        secrets=request.deps(Deps).webhook_secrets,
        now=request.runtime().clock(),
    )
    if webhook is not None:
        with request.transaction() as tx:
            handlers.record_webhook(tx, webhook, _checkout_id(webhook.reference))
    return flask.Response(status=HTTPStatus.NO_CONTENT)


def _checkout_id(reference: str) -> CheckoutId | None:
    try:
        return CheckoutId(uuid.UUID(reference))
    except ValueError:
        return None


@blp.get("/payments/<uuid:renewal_id>")
@signed_in
@refuses(PaymentNotReady)
@blp.response(HTTPStatus.OK, PaymentSchema)
def show_payment(renewal_id: uuid.UUID) -> Mapping[str, object]:
    """Return the state of a renewal's payment."""
    with request.transaction() as tx:
        payment = _own_payment(tx, renewal_id)
        refunds = refund_store.list_refunds(tx.conn, payment.id)
    return {**vars(payment), "refunds": refunds}


@blp.get("/payments/<uuid:renewal_id>/receipt")
@signed_in
@refuses(PaymentNotReady, NoReceiptYet)
@blp.response(HTTPStatus.OK, ReceiptSchema)
def show_receipt(renewal_id: uuid.UUID) -> Mapping[str, object]:
    """Return the receipt of a captured payment."""
    with request.transaction() as tx:
        payment = _own_payment(tx, renewal_id)
    if payment.state is not PaymentState.CAPTURED:
        raise NoReceiptYet("nothing is captured yet")
    return {**vars(payment), "payment_id": payment.id, "signed": payment.receipt}


@blp.get("/jwks")
@for_everyone
@blp.response(HTTPStatus.OK, KeySetSchema)
def show_keys() -> Mapping[str, Any]:
    """Return the public keys that verify payment's receipts (RFC 7517)."""
    return request.deps(Deps).jwks


def _own_payment(tx: Tx, renewal_id: uuid.UUID) -> Payment:
    """Return the payment if it belongs to the caller's subscriber. Raises PaymentNotReady for any other."""
    caller = request.caller()
    payment = store.find_payment(tx.conn, RenewalId(renewal_id))
    if payment is None or payment.subscriber_id != caller.subscriber_id:
        raise PaymentNotReady("there is no payment for this renewal, or not yet")
    return payment
