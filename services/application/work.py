"""Deadlines of renewals: the timer task, and what follows when a state has lasted too long."""

from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from services.application import store, timeline_store
from services.application.domain import DEADLINES, Deadline, EndReason, ItemState, Renewal, RenewalState
from services.application.timeline import TimelineEvent
from shared import audit
from shared.db import Pool
from shared.events.application import CancellationRequested, CheckoutClosureRequested, ClosureReason
from shared.messaging import outbox
from shared.observability.metrics import preset
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now

log = structlog.get_logger()

OPEN: Final = Gauge("renewals_open", "Open submitted renewals by state", ["state"])
OVERDUE: Final = preset(
    Counter("renewals_overdue_total", "Deadlines passed without another service's answer", ["state"]), DEADLINES
)

# States whose deadline begins the end of the renewal. In every other state an answer of another service is overdue.
PASSED: Final = {
    RenewalState.AWAITING_PAYMENT: (TimelineEvent.PAYMENT_DEADLINE, EndReason.NOT_PAID),
    RenewalState.AWAITING_CSRS: (TimelineEvent.CSR_DEADLINE, EndReason.NO_CSR),
    RenewalState.ON_HOLD: (TimelineEvent.HOLD_DEADLINE, EndReason.NOT_RELEASED),
}


def fire_next_timer(pool: Pool, *, clock: Clock = utc_now) -> bool:
    """Fire one due timer. Returns whether there was one.

    A renewal that is locked is left to the next attempt: its change may replace the timer, too.
    """
    with transaction(pool, clock=clock) as tx:
        renewal_id = store.claim_due_timer(tx.conn, tx.now)
    if renewal_id is None:
        return False
    with claimed(), transaction(pool, clock=clock) as tx:
        renewal = store.lock_renewal(tx.conn, renewal_id, skip_locked=True)
        if renewal is not None and store.consume_timer(tx.conn, renewal, tx.now):
            pass_deadline(tx, renewal)
    return True


def pass_deadline(tx: Tx, was: Renewal) -> None:
    """Handle a deadline that has passed: close the checkout, request that issuance withholds, or request again.

    The timer is deleted already.
    """
    if was.state not in PASSED:
        _request_again(tx, was)
        return
    event, ending = PASSED[was.state]
    if ending is EndReason.NO_CSR and not _awaits_csr(tx, was):
        ending = EndReason.NOT_ISSUED
    renewal = was.after(Deadline, tx.now, ending=ending)
    store.save_transition(tx.conn, was, renewal, tx.now)
    _audit(tx, was, event.value)
    timeline_store.add_event(tx, was.id, event)
    if renewal.state is RenewalState.EXPIRING:
        outbox.add(tx, CheckoutClosureRequested(renewal_id=was.id, reason=ClosureReason.DEADLINE))
    else:
        outbox.add(tx, CancellationRequested(renewal_id=was.id, reason=renewal.ending))


def _awaits_csr(tx: Tx, renewal: Renewal) -> bool:
    """Return whether a CSR is missing; if none is, something else is, such as proof of control of a domain."""
    return any(item.state in (ItemState.PENDING, ItemState.ORDERED) for item in store.find_items(tx.conn, renewal.id))


def _request_again(tx: Tx, renewal: Renewal) -> None:
    """Announce the state's request once more, with a new deadline: its answer is overdue."""
    OVERDUE.labels(renewal.state).inc()
    log.error("renewal.answer_overdue", renewal_id=str(renewal.id), state=str(renewal.state))
    _audit(tx, renewal, "answer-overdue")
    store.set_timer(tx.conn, renewal.id, renewal.state, tx.now + DEADLINES[renewal.state])
    match renewal.state:
        case RenewalState.CLOSING_CHECKOUT:
            outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.CANCELLED))
        case RenewalState.EXPIRING:
            outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.DEADLINE))
        case RenewalState.WITHHOLDING:
            outbox.add(tx, CancellationRequested(renewal_id=renewal.id, reason=renewal.ending))


def _audit(tx: Tx, renewal: Renewal, action: str) -> None:
    details: dict[str, audit.Detail] = {"state": str(renewal.state)}
    audit.record(tx, actor="application", action=action, subject=str(renewal.id), details=details)
