"""Handlers of payment's events and commands, and of the provider's answers."""

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.payment import refund_store, store
from services.payment.domain import (
    Checkout,
    CheckoutId,
    CheckoutState,
    Move,
    Payment,
    PaymentId,
    PaymentState,
    Refund,
    RefundId,
    RefundState,
)
from services.payment.outcomes import announce_capture, announce_expiry, announce_refund, hold_refunds, record_audit
from services.payment.refusals import (
    AuthorisationRefused,
    AuthorisationUsed,
    NotTheRepresentative,
    PaymentConflict,
    PaymentNotReady,
)
from services.payment.webhook import Webhook
from shared.effect_ids import effect_id
from shared.errors import Ignored
from shared.events.application import CheckoutClosureRequested, RefundDue, RenewalSubmitted
from shared.messaging.subscriptions import Subscription, on
from shared.tx import Tx
from shared.vocabulary import RenewalId
from shared.web.auth import Caller

# Delay before an intent without an answer is looked up at the provider, if nobody requests its checkout again.
INTENT_POLL_DELAY: Final = timedelta(seconds=60)


def on_renewal_submitted(tx: Tx, event: RenewalSubmitted) -> None:
    """Store the payment of a submitted renewal: amount, payer and deadline. Nothing is to be paid for a reissue."""
    if event.amount_minor == 0:
        raise Ignored("nothing is to be paid")
    if sum(item.amount_minor for item in event.items) != event.amount_minor:
        raise PaymentConflict("the items' fees do not add up to the amount")
    payment = Payment(
        id=PaymentId(effect_id("payment", event.renewal_id)),
        renewal_id=event.renewal_id,
        reference=event.reference,
        subscriber_id=event.subscriber_id,
        ar_id=event.ar_id,
        payer_name=event.payer_name,
        amount_minor=event.amount_minor,
        currency=event.currency,
        document_sha256=event.document_sha256,
        pay_before=event.pay_before,
        state=PaymentState.AWAITING_CHECKOUT,
        traceparent=tx.traceparent,
    )
    if not store.add_payment(tx.conn, payment, now=tx.now):
        raise Ignored("this renewal has a payment")
    record_audit(tx, payment, "payment-opened", amount_minor=payment.amount_minor, currency=payment.currency)


@dataclass(frozen=True, kw_only=True)
class OpenCheckout:
    """Command of a signed-in AR to pay. `authorised` is identity's result of checking the certificate again."""

    renewal_id: RenewalId
    caller: Caller
    authorised: Caller
    authorised_renewal: str
    jti: str
    idempotency_key: str
    return_url: str


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A checkout that is open, or is about to be opened."""

    payment: Payment
    checkout: Checkout


def intend_checkout(tx: Tx, command: OpenCheckout) -> Intent:
    """Check the payer, and commit to one checkout before the provider is called."""
    payment = store.lock_payment(tx.conn, command.renewal_id)
    if payment is None or payment.subscriber_id != command.caller.subscriber_id:
        raise PaymentNotReady("there is no payment for this renewal, or not yet")
    if payment.ar_id != command.caller.ar_id:
        raise NotTheRepresentative("only the AR who submitted the renewal can pay for it")
    if command.authorised != command.caller or command.authorised_renewal != str(command.renewal_id):
        raise AuthorisationRefused("the authorisation is for another renewal, AR or certificate")
    payment.require_payable(tx.now)
    if not store.use_authorisation(
        tx.conn,
        jti=command.jti,
        renewal_id=command.renewal_id,
        idempotency_key=command.idempotency_key,
        now=tx.now,
    ):
        raise AuthorisationUsed("ask for a new authorisation")
    live = store.find_live_checkout(tx.conn, payment.id)
    if live is not None:
        return Intent(payment=payment, checkout=live)
    checkout = next_checkout(tx, payment, command.return_url)
    store.add_checkout(tx.conn, checkout, now=tx.now)
    store.save_state(tx.conn, payment, due_at=tx.now + INTENT_POLL_DELAY)
    record_audit(tx, payment, "checkout-intended", actor=command.caller.ar_id, checkout=str(checkout.id))
    return Intent(payment=payment, checkout=checkout)


def next_checkout(tx: Tx, payment: Payment, return_url: str) -> Checkout:
    """Return the checkout that follows the known ones; until it is stored, the result is always the same."""
    number = store.count_checkouts(tx.conn, payment.id) + 1
    return Checkout(
        id=CheckoutId(effect_id("checkout", payment.id, number)),
        payment_id=payment.id,
        state=CheckoutState.INTENDED,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        description=payment.description,
        return_url=return_url.replace("{renewal_id}", str(payment.renewal_id)),
        expires_at=payment.pay_before,
    )


def record_webhook(tx: Tx, webhook: Webhook, reference: CheckoutId | None) -> None:
    """Record the webhook; if it is new, make the payment due. The webhook itself decides nothing."""
    if store.add_webhook(tx.conn, webhook, now=tx.now) and reference is not None:
        store.make_due(tx.conn, reference, now=tx.now)


def on_checkout_closure_requested(tx: Tx, event: CheckoutClosureRequested) -> None:
    """Stop accepting payment: no checkout opens any more, and the provider is queried before the closure is announced.

    A repeated request gets the same answer, since the first one may be lost. While the payment is closing, it makes the
    payment due at once.
    """
    payment = store.lock_payment(tx.conn, event.renewal_id)
    if payment is None:
        raise PaymentNotReady("closure of a payment that was never opened")
    if payment.state in {PaymentState.CLOSING, PaymentState.CAPTURED, PaymentState.EXPIRED}:
        _answer_again(tx, payment)
        return
    closing = replace(payment.after(Move.CLOSURE), closing_reason=event.reason.value)
    record_audit(tx, closing, "payment-closing", reason=event.reason.value)
    store.save_state(tx.conn, closing, due_at=tx.now)
    store.hint(tx.conn, payment.id, now=tx.now)


def _answer_again(tx: Tx, payment: Payment) -> None:
    record_audit(tx, payment, "payment-closing-again", state=payment.state.value)
    match payment.state:
        case PaymentState.CAPTURED:
            announce_capture(tx, payment)
        case PaymentState.EXPIRED:
            announce_expiry(tx, payment)
        case _:
            store.hint(tx.conn, payment.id, now=tx.now)


def on_refund_due(tx: Tx, event: RefundDue) -> None:
    """Store a refund; it is made once the capture is known."""
    payment = store.lock_payment(tx.conn, event.renewal_id)
    if payment is None:
        raise PaymentNotReady("refund of a payment that was never opened")
    wanted = Refund(
        id=RefundId(event.refund_id),
        payment_id=payment.id,
        renewal_id=event.renewal_id,
        item_id=event.item_id,
        amount_minor=event.amount_minor,
        currency=event.currency,
        reason=event.reason,
        state=RefundState.DUE,
        traceparent=tx.traceparent,
    )
    due_at = tx.now if payment.state is PaymentState.CAPTURED else None
    stored = refund_store.add_refund(tx.conn, wanted, due_at=due_at, now=tx.now)
    if (stored.payment_id, stored.amount_minor, stored.currency) != (payment.id, event.amount_minor, event.currency):
        raise PaymentConflict("this refund is known with another amount")
    if stored.id != event.refund_id:
        _answer_as(tx, payment, stored, event.refund_id)
    record_audit(tx, payment, "refund-due", refund=str(event.refund_id), amount_minor=event.amount_minor)
    if payment.state is PaymentState.EXPIRED:
        hold_refunds(tx, payment)


def _answer_as(tx: Tx, payment: Payment, stored: Refund, asked_as: uuid.UUID) -> None:
    """Announce a known refund under the id by which a restored application requests it; no money moves again."""
    refund_store.save_asked_as(tx.conn, stored.id, asked_as)
    record_audit(tx, payment, "refund-known", refund=str(stored.id), asked_as=str(asked_as))
    if stored.refunded_at is not None:
        announce_refund(tx, payment, replace(stored, asked_as=asked_as), stored.refunded_at)


def recheck(tx: Tx, renewal_id: RenewalId, *, actor: str) -> str:
    """Make a payment in any state due for a query of the provider. Returns what is done, as a text for the operator.

    Raises PaymentNotReady for a renewal without a payment.
    """
    payment = store.lock_payment(tx.conn, renewal_id)
    if payment is None:
        raise PaymentNotReady("there is no payment for this renewal")
    record_audit(tx, payment, "recheck", actor=actor)
    match payment.state:
        case PaymentState.CAPTURED:
            count = refund_store.wake_refunds(tx.conn, payment.id, now=tx.now)
            return f"captured; {count} waiting refunds are tried again"
        case PaymentState.EXPIRED:
            return "expired: the provider confirmed that nothing was captured; nothing is asked"
        case PaymentState.HELD:
            store.save_state(tx.conn, payment.after(Move.RECHECK), due_at=tx.now)
    store.hint(tx.conn, payment.id, now=tx.now)
    return f"{payment.state}: the provider is asked"


def subscriptions() -> tuple[Subscription, ...]:
    """Return payment's subscriptions."""
    return (
        on(RenewalSubmitted, on_renewal_submitted),
        on(CheckoutClosureRequested, on_checkout_closure_requested),
        on(RefundDue, on_refund_due),
    )
