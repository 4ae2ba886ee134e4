"""Tasks of payment: process one due payment or refund at the provider, and record the outcome."""

from datetime import timedelta
from typing import Final

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from services.payment import provider as talk
from services.payment import refund_store, store
from services.payment.domain import (
    Checkout,
    Ended,
    Outcome,
    Payment,
    PaymentState,
    Provider,
    ProviderRefund,
    Refund,
    RefundStatus,
    Unopened,
    Unreachable,
    Waiting,
)
from services.payment.handlers import next_checkout
from services.payment.outcomes import HELD, RecordOutcome, announce_refund, note, recover_checkout
from services.payment.refusals import ProviderRefused, ProviderUnavailable
from shared.db import Pool
from shared.observability import tracing
from shared.runtime.task_loop import backoff, claimed
from shared.tx import Clock, Tx, transaction, utc_now

log = structlog.get_logger()

_ASKED: Final = frozenset({PaymentState.AWAITING_CHECKOUT, PaymentState.OPEN, PaymentState.CLOSING})
# Longer than the calls made under it.
LEASE: Final = timedelta(seconds=90)
CALLS: Final = 5
LONGEST_PAUSE: Final = timedelta(minutes=5)
LONGEST_OUTAGE_PAUSE: Final = timedelta(seconds=60)
LONGEST_REFUND_PAUSE: Final = timedelta(minutes=15)
# Providers take hours to days for a pending refund.
PENDING_REFUND_PAUSE: Final = timedelta(minutes=15)

REFUND_TROUBLE = Counter("payment_refund_refused_total", "Refund attempts refused by the provider; they are retried")


def capture_next(pool: Pool, provider: Provider, record: RecordOutcome, *, clock: Clock = utc_now) -> bool:
    """Query the provider about one due payment: capture it if it is paid, close it if it is closing."""
    with transaction(pool, clock=clock) as tx:
        payment = store.claim_due_payment(tx.conn, now=tx.now, lease=LEASE)
        checkout = None if payment is None else store.find_live_checkout(tx.conn, payment.id)
        # Not stored: looked up in case a restored database has lost it.
        unknown = None if payment is None or checkout or payment.state not in _ASKED else next_checkout(tx, payment, "")
    if payment is None:
        return False
    with claimed(), tracing.span("pursue payment", parent=payment.traceparent, kind=SpanKind.CLIENT):
        try:
            if unknown is not None and provider.find_checkout(unknown) is not None:
                with transaction(pool, clock=clock) as tx:
                    checkout = recover_checkout(tx, payment, unknown)
            outcome = talk.pursue(provider, payment, checkout)
        except (ProviderUnavailable, ProviderRefused) as error:
            log.warning("payment.provider_unavailable", renewal_id=str(payment.renewal_id), error=str(error))
            outcome = Unreachable(why=str(error))
        with transaction(pool, clock=clock) as tx:
            record(tx, payment.renewal_id, checkout, outcome)
            pause = _pause(payment, checkout, outcome)
            store.release(tx.conn, payment, due_at=None if pause is None else tx.now + pause)
    return True


def _pause(payment: Payment, checkout: Checkout | None, outcome: Outcome) -> timedelta | None:
    """Return the delay until the provider is queried again, unless something makes the payment due earlier."""
    match outcome:
        case Waiting():
            return backoff(timedelta(seconds=2), payment.polls, LONGEST_PAUSE)
        case Unreachable():
            return backoff(timedelta(seconds=1), payment.polls, LONGEST_OUTAGE_PAUSE)
        case Unopened():
            return LONGEST_PAUSE
        case Ended() if checkout is not None and payment.state is PaymentState.CLOSING:
            return timedelta()  # the provider may know a further one
    return None


def refund_next(pool: Pool, provider: Provider, *, clock: Clock = utc_now) -> bool:
    """Make one due refund; the sum of all refunds never exceeds the capture."""
    with transaction(pool, clock=clock) as tx:
        found = refund_store.lock_due_refund(tx.conn, now=tx.now)
        if found is None:
            return False
        payment, refund = found
        if not _fits_into_capture(tx, payment, refund):
            _hold(tx, payment, refund, "more than is left of the capture")
            return True
        lease = max(LEASE, backoff(timedelta(seconds=1), refund.tries, LONGEST_REFUND_PAUSE))
        sent = refund_store.save_sending(tx.conn, refund.id, until=tx.now + lease)
    assert payment.provider_reference is not None  # a captured payment has it
    with claimed(), tracing.span("make refund", parent=sent.traceparent, kind=SpanKind.CLIENT):
        made = _make(provider, sent, payment.provider_reference)
        with transaction(pool, clock=clock) as tx:
            _record_refund(tx, payment, sent, made)
    return True


def _record_refund(tx: Tx, payment: Payment, sent: Refund, made: ProviderRefund | None) -> None:
    if made is None:
        pause = backoff(timedelta(seconds=1), sent.tries, LONGEST_REFUND_PAUSE)
        refund_store.save_later(tx.conn, sent.id, due_at=tx.now + pause)
    elif not made.fits(sent):
        _hold(tx, payment, sent, f"the provider says {made.currency} {made.amount_minor} for {made.reference}")
    elif made.status is RefundStatus.SUCCEEDED:
        _settle(tx, payment, sent, made)
    elif made.status is RefundStatus.PENDING:
        # The pending refund is looked up under our reference, never made twice.
        refund_store.save_later(tx.conn, sent.id, due_at=tx.now + PENDING_REFUND_PAUSE)
    else:
        _hold(tx, payment, sent, f"the provider says {made.status}")


def _fits_into_capture(tx: Tx, payment: Payment, refund: Refund) -> bool:
    if payment.captured_at is None or payment.currency != refund.currency:
        return False
    return refund_store.sum_taken(tx.conn, refund) + refund.amount_minor <= payment.amount_minor


def _hold(tx: Tx, payment: Payment, refund: Refund, why: str) -> None:
    if not refund_store.save_held(tx.conn, refund.id):
        return
    note(tx, payment, "refund-held", refund=str(refund.id), why=why)
    HELD.labels("refund").inc()
    log.error("payment.refund_held", renewal_id=str(payment.renewal_id), refund=str(refund.id), why=why)


def _make(provider: Provider, refund: Refund, session_id: str) -> ProviderRefund | None:
    """Make the refund at the provider. Returns None if it must be retried; permanent refusals are logged as errors."""
    try:
        return provider.refund(refund, session_id)
    except ProviderUnavailable as error:
        log.warning("payment.provider_unavailable", refund=str(refund.id), error=str(error))
        return None
    except ProviderRefused as error:
        REFUND_TROUBLE.inc()
        log.error("payment.refund_refused", refund=str(refund.id), code=error.code)
        return None


def _settle(tx: Tx, payment: Payment, refund: Refund, made: ProviderRefund) -> None:
    assert made.refunded_at is not None
    store.lock_payment(tx.conn, payment.renewal_id)
    if not refund_store.settle(tx.conn, refund, made):
        return
    store.add_booking(
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
    note(tx, payment, "payment-refunded", refund=str(refund.id), amount_minor=refund.amount_minor)
