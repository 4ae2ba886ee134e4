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
    Unopened,
    Unreachable,
    Waiting,
)
from services.payment.handlers import next_checkout
from services.payment.outcomes import (
    REFUND_BACKOFF,
    RecordOutcome,
    fits_into_capture,
    hold_refund,
    record_refund_outcome,
    recover_checkout,
)
from services.payment.refusals import ProviderRefused, ProviderUnavailable
from shared.backoff import Backoff
from shared.db import Pool
from shared.observability import tracing
from shared.runtime.task_loop import claimed
from shared.tx import Clock, transaction, utc_now

log = structlog.get_logger()

_ASKED: Final = frozenset({PaymentState.AWAITING_CHECKOUT, PaymentState.OPEN, PaymentState.CLOSING})
# Longer than the calls made under it.
LEASE: Final = timedelta(seconds=90)
CALLS: Final = 5
QUERIES: Final = Backoff(timedelta(seconds=2), timedelta(minutes=5))
OUTAGE: Final = Backoff(timedelta(seconds=1), timedelta(seconds=60))

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
            return QUERIES.delay(payment.polls)
        case Unreachable():
            return OUTAGE.delay(payment.polls)
        case Unopened():
            return QUERIES.longest
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
        if not fits_into_capture(tx, payment, refund):
            hold_refund(tx, payment, refund, "more than is left of the capture")
            return True
        lease = max(LEASE, REFUND_BACKOFF.delay(refund.tries))
        sent = refund_store.save_sending(tx.conn, refund.id, until=tx.now + lease)
    assert payment.provider_reference is not None  # a captured payment has it
    with claimed(), tracing.span("make refund", parent=sent.traceparent, kind=SpanKind.CLIENT):
        made = _make(provider, sent, payment.provider_reference)
        with transaction(pool, clock=clock) as tx:
            record_refund_outcome(tx, payment, sent, made)
    return True


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
