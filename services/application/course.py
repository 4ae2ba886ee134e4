"""Lifecycle of a renewal: each transition sets the deadline of the new state, and announces the request that belongs to
it.
"""

from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Counter

from services.application import store
from services.application.domain import DEADLINES, Deadline, Ending, Renewal, RenewalState, Step
from services.application.refusals import RenewalNotFound
from shared import audit
from shared.errors import Ignored
from shared.events.application import CancellationRequested, CheckoutClosureRequested, ClosureReason
from shared.events.base import Event
from shared.messaging import outbox
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId
from shared.web.auth import Caller

log = structlog.get_logger()

OVERDUE: Final = Counter("renewals_overdue_total", "Deadlines passed without another service's answer", ["state"])
# Pre-initialise all label values, so that increase() counts the first occurrence.
for _state in DEADLINES:
    OVERDUE.labels(_state)

PASSED: Final = {
    RenewalState.AWAITING_PAYMENT: (Step.PAYMENT_DEADLINE, Ending.NOT_PAID),
    RenewalState.AWAITING_CSRS: (Step.CSR_DEADLINE, Ending.NO_CSR),
    RenewalState.ON_HOLD: (Step.HOLD_DEADLINE, Ending.NOT_RELEASED),
}


def lock_own(tx: Tx, renewal_id: RenewalId, caller: Caller) -> Renewal:
    """Return the caller's own renewal, locked. Raises RenewalNotFound for anybody else's."""
    renewal = store.lock_renewal(tx.conn, renewal_id)
    if renewal is None or renewal.subscriber_id != caller.subscriber_id:
        raise RenewalNotFound("there is no such renewal")
    return renewal


def lock_known(tx: Tx, event: Event) -> Renewal:
    """Return the event's renewal, locked. Raises Ignored for an unknown renewal."""
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise Ignored("unknown renewal")
    return renewal


def move(tx: Tx, was: Renewal, renewal: Renewal) -> None:
    """Save the transition; in a new state set its deadline, and announce the request to the service
    that must answer.
    """
    store.save_renewal(tx.conn, renewal)
    if renewal.state is not was.state and not renewal.state.ended:
        store.set_timer(tx.conn, renewal.id, renewal.state, tx.now + DEADLINES[renewal.state])
        _ask(tx, renewal)


def _ask(tx: Tx, renewal: Renewal) -> None:
    match renewal.state:
        case RenewalState.CLOSING_CHECKOUT:
            outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.CANCELLED))
        case RenewalState.EXPIRING:
            outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.DEADLINE))
        case RenewalState.WITHHOLDING:
            outbox.add(tx, CancellationRequested(renewal_id=renewal.id, reason=renewal.ending))


def pass_deadline(tx: Tx, was: Renewal) -> None:
    """Handle a deadline that has passed; its timer is deleted already."""
    step, ending = PASSED.get(was.state, (None, None))
    renewal = was.after(Deadline, tx.now, ending=ending)
    action = "answer-overdue" if step is None else step.value
    audit.record(tx, actor="application", action=action, subject=str(was.id), details={"state": str(was.state)})
    if step is not None and renewal.state is not was.state:
        move(tx, was, renewal)
        note(tx, was.id, step)
        return
    OVERDUE.labels(was.state).inc()
    log.error("renewal.answer_overdue", renewal_id=str(was.id), state=str(was.state))
    store.set_timer(tx.conn, was.id, was.state, tx.now + DEADLINES[was.state])
    _ask(tx, was)


def note(
    tx: Tx,
    renewal_id: RenewalId,
    event: Step,
    item_id: ItemId | None = None,
    detail: str | None = None,
    at: datetime | None = None,
) -> None:
    """Add a timeline step, with the time at which it was announced."""
    announced = tx.now if tx.event is None else tx.event.time
    store.add_to_timeline(tx.conn, renewal_id, at or announced, event, item_id, detail)
