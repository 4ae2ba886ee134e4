"""Outcomes of captures and refunds: what an answer of the provider changes, and what is announced of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, assert_never

import structlog
from prometheus_client import Counter

from services.payment import refund_store, store
from services.payment.domain import (
    Captured,
    Checkout,
    Ended,
    Move,
    Outcome,
    Payment,
    PaymentState,
    ProviderRefund,
    Refund,
    RefundStatus,
    Session,
    SessionStatus,
    Unfit,
    Unopened,
    Unreachable,
    Waiting,
)
from shared import audit
from shared.backoff import Backoff
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired, PaymentRefunded
from shared.messaging import outbox
from shared.observability.metrics import preset
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.tx import Tx
from shared.vocabulary import RenewalId

log = structlog.get_logger()

ACTOR: Final = "payment"
# Delay after a checkout is opened before the first query, in case the webhook is lost.
FIRST_POLL_DELAY: Final = timedelta(seconds=2)
REFUND_BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(minutes=15))
# Providers take hours to days for a pending refund.
PENDING_REFUND_INTERVAL: Final = timedelta(minutes=15)

HELD = preset(
    Counter("payment_held_total", "Payments and refunds held for an operator", ["what"]), ("payment", "refund")
)

# A lost answer is queried again within minutes. If the provider acted longer ago, or under a reference that is not
# stored here, the database was restored and has lost it.
FORGOTTEN_AFTER: Final = timedelta(hours=1)
FORGOTTEN = preset(
    Counter("payment_forgotten_total", "Checkouts and captures found only at the provider", ["what"]),
    ("checkout", "capture"),
)

RecordOutcome = Callable[[Tx, RenewalId, Checkout | None, Outcome], Payment]


def recorder(key: SigningKey) -> RecordOutcome:
    """Return record_outcome with the key that signs receipts."""
    return partial(record_outcome, key=key)


def record_outcome(
    tx: Tx, renewal_id: RenewalId, checkout: Checkout | None, outcome: Outcome, *, key: SigningKey
) -> Payment:
    """Apply an answer of the provider to the payment. Returns the payment as it then is.

    The state may have changed while the provider was called, so it is read again under the lock.
    """
    payment = store.lock_payment(tx.conn, renewal_id)
    assert payment is not None  # payments are never deleted
    live = store.find_live_checkout(tx.conn, payment.id)
    is_stale = (live and live.id) != (checkout and checkout.id)
    if is_stale or payment.state in {PaymentState.CAPTURED, PaymentState.EXPIRED, PaymentState.HELD}:
        return payment  # another answer was recorded first
    match outcome:
        case Captured():
            _announce_declines(tx, payment, outcome.session)
            return _record_capture(tx, payment, checkout, outcome.session, outcome.at, key)
        case Waiting():
            _announce_declines(tx, payment, outcome.session)
            return _record_open(tx, payment, checkout, outcome.session)
        case Ended():
            if outcome.session is not None:
                _announce_declines(tx, payment, outcome.session)
            return _record_ended(tx, payment, checkout)
        case Unfit():
            return _hold(tx, payment, outcome.why)
        case Unopened() | Unreachable():
            return payment
        case _:
            assert_never(outcome)


def _record_capture(
    tx: Tx, payment: Payment, checkout: Checkout | None, session: Session, at: datetime, key: SigningKey
) -> Payment:
    captured = replace(payment.after(Move.CAPTURE), captured_at=at, provider_reference=session.id)
    claims = receipt_claims(captured)
    captured = replace(captured, receipt=sign(claims, kind=TokenKind.RECEIPT, key=key, now=tx.now, issuer=ACTOR))
    store.save_capture(tx.conn, captured)
    if checkout is not None:
        store.save_checkout_ended(tx.conn, checkout.id)
    refund_store.add_booking(
        tx.conn,
        payment_id=payment.id,
        refund_id=None,
        debit="provider",
        credit="renewal-fees",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        provider_reference=session.id,
        now=tx.now,
    )
    refund_store.wake_refunds(tx.conn, payment.id, now=tx.now)
    announce_capture(tx, captured)
    record_audit(tx, captured, "payment-captured", provider_reference=session.id, amount_minor=payment.amount_minor)
    if tx.now - at > FORGOTTEN_AFTER:
        FORGOTTEN.labels("capture").inc()
        log.error("payment.capture_forgotten", renewal_id=str(payment.renewal_id), captured_at=at.isoformat())
    return captured


def announce_capture(tx: Tx, payment: Payment) -> None:
    """Announce the capture, with a signed receipt."""
    assert payment.captured_at is not None
    assert payment.receipt is not None
    captured = PaymentCaptured(
        renewal_id=payment.renewal_id,
        payment_id=payment.id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        captured_at=payment.captured_at,
        receipt=payment.receipt,
    )
    outbox.add(tx, captured)


def announce_expiry(tx: Tx, payment: Payment) -> None:
    """Announce that nothing was captured, and nothing can be."""
    assert payment.closing_reason is not None
    outbox.add(tx, PaymentExpired(renewal_id=payment.renewal_id, reason=payment.closing_reason))


def receipt_claims(payment: Payment) -> dict[str, str | int]:
    """Return the claims of a captured payment's receipt."""
    assert payment.captured_at is not None
    assert payment.provider_reference is not None
    return {
        "sub": str(payment.renewal_id),
        "payment_id": str(payment.id),
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "document_sha256": payment.document_sha256,
        "captured_at": payment.captured_at.isoformat(),
        "provider_reference": payment.provider_reference,
        "payer_name": payment.payer_name,
    }


def _record_open(tx: Tx, payment: Payment, checkout: Checkout | None, session: Session) -> Payment:
    if checkout is None or not store.save_checkout_opened(tx.conn, checkout.id, session.checkout_url):
        return payment
    if payment.state is not PaymentState.AWAITING_CHECKOUT:
        return payment  # the closure came first; the work process closes the session
    opened = payment.after(Move.OPENED)
    is_paid = session.status in {SessionStatus.PAID, SessionStatus.CAPTURED}
    store.save_state(tx.conn, opened, due_at=tx.now if is_paid else tx.now + FIRST_POLL_DELAY)
    record_audit(tx, opened, "checkout-opened", checkout=str(checkout.id), provider_reference=session.id)
    return opened


def _record_ended(tx: Tx, payment: Payment, checkout: Checkout | None) -> Payment:
    if checkout is not None:
        store.save_checkout_ended(tx.conn, checkout.id)
    if payment.state is PaymentState.CLOSING:
        # Only once the provider knows no further checkout of this payment: a restored database may have lost one.
        return payment if checkout is not None else expire(tx, payment)
    ended = payment.after(Move.ENDED)
    store.save_state(tx.conn, ended, due_at=None)
    record_audit(tx, ended, "checkout-ended")
    return ended


def expire(tx: Tx, payment: Payment) -> Payment:
    """Expire a payment that was not captured and cannot be, and announce it."""
    expired = payment.after(Move.EXPIRY)
    store.save_state(tx.conn, expired, due_at=None)
    announce_expiry(tx, expired)
    record_audit(tx, expired, "payment-expired", reason=expired.closing_reason or "")
    hold_refunds(tx, expired)
    return expired


def recover_checkout(tx: Tx, payment: Payment, checkout: Checkout) -> Checkout | None:
    """Store a checkout that only the provider knows. Returns None if the payment has changed meanwhile."""
    locked = store.lock_payment(tx.conn, payment.renewal_id)
    assert locked is not None
    if locked.state is not payment.state or store.find_live_checkout(tx.conn, payment.id) is not None:
        return None
    store.add_checkout(tx.conn, checkout, now=tx.now)
    record_audit(tx, payment, "checkout-recovered", checkout=str(checkout.id))
    FORGOTTEN.labels("checkout").inc()
    log.error("payment.checkout_forgotten", renewal_id=str(payment.renewal_id), checkout=str(checkout.id))
    return checkout


def record_refund_outcome(tx: Tx, payment: Payment, sent: Refund, made: ProviderRefund | None) -> None:
    """Apply an answer of the provider to a refund that was sent; None if there was no usable answer."""
    if made is None:
        refund_store.save_later(tx.conn, sent.id, due_at=tx.now + REFUND_BACKOFF.delay(sent.tries))
    elif not made.fits(sent):
        hold_refund(tx, payment, sent, f"the provider says {made.currency} {made.amount_minor} for {made.reference}")
    elif made.status is RefundStatus.SUCCEEDED:
        _record_refunded(tx, payment, sent, made)
    elif made.status is RefundStatus.PENDING:
        # The pending refund is looked up under our reference, never made twice.
        refund_store.save_later(tx.conn, sent.id, due_at=tx.now + PENDING_REFUND_INTERVAL)
    else:
        hold_refund(tx, payment, sent, f"the provider says {made.status}")


def _record_refunded(tx: Tx, payment: Payment, refund: Refund, made: ProviderRefund) -> None:
    assert made.refunded_at is not None
    store.lock_payment(tx.conn, payment.renewal_id)
    if not refund_store.settle(tx.conn, refund, made):
        return
    refund_store.add_booking(
        tx.conn,
        payment_id=payment.id,
        refund_id=refund.id,
        debit="renewal-fees",
        credit="provider",
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        provider_reference=made.id,
        now=tx.now,
    )
    announce_refund(tx, payment, refund_store.find_refund(tx.conn, refund.id), made.refunded_at)
    record_audit(tx, payment, "payment-refunded", refund=str(refund.id), amount_minor=refund.amount_minor)


def fits_into_capture(tx: Tx, payment: Payment, refund: Refund) -> bool:
    """Return whether the refund, with all others made, is within the captured amount."""
    if payment.captured_at is None or payment.currency != refund.currency:
        return False
    return refund_store.sum_taken(tx.conn, refund) + refund.amount_minor <= payment.amount_minor


def hold_refund(tx: Tx, payment: Payment, refund: Refund, why: str) -> None:
    """Hold one refund for a person."""
    if not refund_store.save_held(tx.conn, refund.id):
        return
    record_audit(tx, payment, "refund-held", refund=str(refund.id), why=why)
    HELD.labels("refund").inc()
    log.error("payment.refund_held", renewal_id=str(payment.renewal_id), refund=str(refund.id), why=why)


def announce_refund(tx: Tx, payment: Payment, refund: Refund, refunded_at: datetime) -> None:
    """Announce a refund under the id by which it was last requested."""
    outbox.add(
        tx,
        PaymentRefunded(
            renewal_id=payment.renewal_id,
            refund_id=refund.asked_as or refund.id,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
            refunded_at=refunded_at,
        ),
    )


def _hold(tx: Tx, payment: Payment, why: str) -> Payment:
    held = payment.after(Move.HOLD)
    store.save_state(tx.conn, held, due_at=None)
    record_audit(tx, held, "payment-held", why=why)
    HELD.labels("payment").inc()
    log.error("payment.held", renewal_id=str(payment.renewal_id), why=why)
    return held


def hold_refunds(tx: Tx, payment: Payment) -> None:
    """Hold the refunds of a payment that was never captured, for a person."""
    if count := refund_store.hold_refunds(tx.conn, payment.id):
        HELD.labels("refund").inc(count)
        record_audit(tx, payment, "refunds-held", why="nothing was captured")
        log.error("payment.refunds_held", renewal_id=str(payment.renewal_id), why="nothing was captured")


def _announce_declines(tx: Tx, payment: Payment, session: Session) -> None:
    for decline in session.declines:
        if store.add_decline(tx.conn, payment.id, decline, now=tx.now):
            outbox.add(
                tx,
                PaymentDeclined(renewal_id=payment.renewal_id, payment_id=payment.id, reason=decline.reason),
            )
            record_audit(tx, payment, "payment-declined", decline=decline.id, reason=decline.reason)


def record_audit(tx: Tx, payment: Payment, action: str, *, actor: str = ACTOR, **details: str | int) -> None:
    """Add an audit row about a payment."""
    audit.record(tx, actor=actor, action=action, subject=str(payment.renewal_id), details=details)
