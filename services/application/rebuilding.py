"""Rebuilding after a restore: applies application's own recovered events to the renewals.

A restored database lacks renewals that were submitted after the restored moment, and has others in an old state.
Consumers read other services' events again, but commands of ARs and deadlines are not events of others. application's
own events are: each is announced in the transaction of its change. Here they are applied as facts in any state, and
announce nothing. The consumer then reads all other events again, and skips those that it has applied.

All changes are absolute, so an interrupted run can be repeated. No process of the service runs meanwhile: the outbox
recovery is still open.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from psycopg import IntegrityError
from psycopg.errors import ForeignKeyViolation

from services.application import delays, document, reminder_store, slack_store, store, timeline_store
from services.application.domain import DEADLINES, EndReason, ItemState, Refund, Renewal, RenewalKind, RenewalState
from services.application.refusals import NotRebuilt
from services.application.timeline import Details, TimelineEvent
from services.application.work import PASSED
from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.events.application import (
    CancellationRequested,
    CertificateDelayed,
    CheckoutClosureRequested,
    ClosureReason,
    CSRRequested,
    RefundDue,
    ReissueReminderDue,
    RenewalAtRisk,
    RenewalCancelled,
    RenewalCompleted,
    RenewalReminderDue,
    RenewalSubmitted,
)
from shared.events.base import Envelope, Event
from shared.events.registry import ALL
from shared.messaging import outbox_recovery
from shared.messaging.codec import decode_data
from shared.security.tokens import read_unverified
from shared.tx import Tx, transaction
from shared.vocabulary import RenewalId

# Renewals per transaction.
PAGE: Final = 100
_ENDS: Final = frozenset({RenewalCompleted.TYPE, RenewalCancelled.TYPE})
_ENDED_AS: Final = {EndReason.NOT_PAID: RenewalState.EXPIRED, EndReason.REFUSED: RenewalState.REFUSED}
_END_EVENTS: Final = {
    RenewalState.EXPIRED: TimelineEvent.EXPIRED,
    RenewalState.REFUSED: TimelineEvent.REFUSED,
    RenewalState.CANCELLED: TimelineEvent.CANCELLED,
}
_DEADLINE_EVENTS: Final = {ending: step for step, ending in PASSED.values()} | {
    EndReason.NOT_ISSUED: TimelineEvent.CSR_DEADLINE
}


@dataclass(frozen=True, kw_only=True)
class _Fact:
    """An event of a renewal, with its time."""

    event: Event
    at: datetime


@dataclass(kw_only=True)
class _Rebuilt:
    """The rebuilt state of a renewal, with its timeline."""

    renewal: Renewal
    due_at: datetime | None = None
    refunds: list[tuple[Refund, datetime]] = field(default_factory=list)
    steps: list[tuple[TimelineEvent, str | None, datetime]] = field(default_factory=list)

    def transition(self, renewal: Renewal, at: datetime, step: TimelineEvent | None, reason: str | None = None) -> None:
        """Move to a state at a time; adds the step if the state is new."""
        if step is not None and renewal.state is not self.renewal.state:
            self.steps.append((step, reason, at))
        self.renewal = renewal
        self.due_at = None if renewal.state.ended else at + DEADLINES[renewal.state]


def rebuild(pool: Pool, recovery_id: int, actor: str) -> list[str]:
    """Rebuild every renewal of a recovery from its events. Returns those that a person has to settle, with the reason.

    Ended renewals go first: only then are their subscriptions free for the next renewal.
    """
    unsettled: list[str] = []
    for ended in (True, False):
        after = ""
        while True:
            with transaction(pool) as tx:
                page = outbox_recovery.find_page(tx.conn, recovery_id, after=after, limit=PAGE)
                for envelopes in page:
                    after = envelopes[0].subject
                    if any(each.type in _ENDS for each in envelopes) is ended:
                        unsettled.extend(_try(tx, envelopes, actor))
            if not page:
                break
    return unsettled


def _try(tx: Tx, envelopes: Sequence[Envelope], actor: str) -> Iterator[str]:
    subject = envelopes[0].subject
    try:
        with tx.conn.transaction():
            _rebuild_one(tx, RenewalId(uuid.UUID(subject)), [_fact(each) for each in envelopes], actor)
    except Refused as refused:
        yield f"renewal {subject}: {refused}"
    except (KeyError, TypeError, ValueError, IntegrityError) as error:  # one invalid renewal must not stop the others
        yield f"renewal {subject}: {type(error).__name__}: {error}"


def _fact(envelope: Envelope) -> _Fact:
    if (kind := ALL.get(envelope.type)) is None:
        raise NotRebuilt(f"this code does not know {envelope.type}")
    return _Fact(event=decode_data(envelope.data, kind), at=envelope.time)


def _rebuild_one(tx: Tx, renewal_id: RenewalId, facts: Sequence[_Fact], actor: str) -> None:
    was = store.lock_renewal(tx.conn, renewal_id)
    rebuilt = _Rebuilt(renewal=was or draft(tx, renewal_id, facts))
    for fact in facts:
        _follow(rebuilt, fact, facts)
    for fact in facts:
        if isinstance(fact.event, CertificateDelayed):
            _know(tx, fact.event)
        if isinstance(fact.event, RenewalAtRisk):
            slack_store.mark_at_risk(tx.conn, renewal_id, fact.at)
        if isinstance(fact.event, RenewalReminderDue):
            event = fact.event
            reminder_store.add(tx.conn, event.srn, event.paid_until, event.days_before, "announced", fact.at)
        if isinstance(fact.event, ReissueReminderDue):
            of = fact.event
            reminder_store.add(tx.conn, of.srn, of.paid_until, of.days_before, "announced", fact.at, serial=of.serial)
    refunded = [store.add_refund(tx.conn, refund, renewal_id, due_at) for refund, due_at in rebuilt.refunds]
    if rebuilt.renewal == was and not any(refunded):
        return
    _save(tx, rebuilt)
    details: dict[str, audit.Detail] = {"state": str(rebuilt.renewal.state), "events": len(facts)}
    audit.record(tx, actor=actor, action="renewal-rebuilt", subject=str(renewal_id), details=details)


def _know(tx: Tx, event: CertificateDelayed) -> None:
    """Record that the AR was notified, so that the delay, read again, is not announced again."""
    item = store.find_item(tx.conn, event.item_id)
    if item is None:
        raise NotRebuilt("an item that was delayed is not in its document")
    store.save_item(tx.conn, delays.after_notice(item, event.obstacles))


def draft(tx: Tx, renewal_id: RenewalId, facts: Sequence[_Fact]) -> Renewal:
    """Insert a lost renewal as the draft that it was."""
    text, _ = _signed(facts)
    try:
        renewal, items = document.read(text)
    except (KeyError, TypeError, ValueError) as error:
        raise NotRebuilt("its document cannot be read") from error
    if renewal.id != renewal_id:
        raise NotRebuilt("its document is another renewal's")
    try:
        store.add_renewal(tx.conn, renewal, items)
    except ForeignKeyViolation as error:
        raise NotRebuilt("the register lacks one of its subscriptions") from error
    return renewal


def _signed(facts: Sequence[_Fact]) -> tuple[str, str]:
    """Return document and attestation; if the submission was announced by earlier code without them, from a later
    event.
    """
    for fact in facts:
        if isinstance(fact.event, RenewalSubmitted | CSRRequested | RenewalCancelled):
            text, attestation = fact.event.document, fact.event.attestation
            if text is not None and attestation is not None:
                return text, attestation
    raise NotRebuilt("no event has its document and attestation")


def _follow(rebuilt: _Rebuilt, fact: _Fact, facts: Sequence[_Fact]) -> None:
    """Apply one fact. A fact that an interrupted run has applied already changes nothing in the end."""
    was, event, at = rebuilt.renewal, fact.event, fact.at
    match event:
        case RenewalSubmitted():
            if was.state is RenewalState.DRAFT:
                rebuilt.transition(_submitted(was, event, at, facts), at, TimelineEvent.SUBMITTED)
                rebuilt.due_at = event.pay_before
        case CheckoutClosureRequested():
            rebuilt.transition(*_closing(was, event, at))
        case CSRRequested():
            rebuilt.transition(_paid(was, event), at, _step_of_request(was))
        case CancellationRequested():
            rebuilt.transition(*_withholding(was, event, at))
        case RefundDue():
            refund = Refund(id=event.refund_id, item_id=event.item_id, amount_minor=event.amount_minor)
            rebuilt.refunds.append((refund, at))
        case RenewalCompleted():
            rebuilt.transition(_ended(was, RenewalState.COMPLETED, None, at), at, TimelineEvent.COMPLETED)
        case RenewalCancelled():
            ending = EndReason(event.reason)
            state = _ENDED_AS.get(ending, RenewalState.CANCELLED)
            rebuilt.transition(_ended(was, state, ending, at), at, _END_EVENTS[state], ending)


def _step_of_request(was: Renewal) -> TimelineEvent | None:
    if was.kind is RenewalKind.REISSUE and was.receipt is None:
        return None  # submitted in the same transaction
    return TimelineEvent.PAID if was.receipt is None else TimelineEvent.RELEASED


def _closing(was: Renewal, event: CheckoutClosureRequested, at: datetime) -> tuple[Renewal, datetime, TimelineEvent]:
    if event.reason is ClosureReason.CANCELLED:
        closing = replace(was, state=RenewalState.CLOSING_CHECKOUT, ending=EndReason.CANCELLED)
        return closing, at, TimelineEvent.CANCELLATION_ASKED
    return replace(was, state=RenewalState.EXPIRING, ending=EndReason.NOT_PAID), at, TimelineEvent.PAYMENT_DEADLINE


def _withholding(
    was: Renewal, event: CancellationRequested, at: datetime
) -> tuple[Renewal, datetime, TimelineEvent | None]:
    # Earlier code did not announce the reason; mostly the AR cancelled.
    ending = EndReason(event.reason or was.ending or EndReason.CANCELLED)
    asked_before = was.state is RenewalState.CLOSING_CHECKOUT
    step = None if asked_before else _DEADLINE_EVENTS.get(ending, TimelineEvent.CANCELLATION_ASKED)
    return replace(was, state=RenewalState.WITHHOLDING, ending=ending), at, step


def _ended(was: Renewal, state: RenewalState, ending: EndReason | None, at: datetime) -> Renewal:
    return replace(was, state=state, ending=ending, ended_at=was.ended_at or at)


def _submitted(draft: Renewal, event: RenewalSubmitted, at: datetime, facts: Sequence[_Fact]) -> Renewal:
    _, attestation = _signed(facts)
    if draft.document_sha256 != event.document_sha256:
        raise NotRebuilt("its document is not the one that was submitted")
    return replace(draft, state=RenewalState.AWAITING_PAYMENT, attestation=attestation, submitted_at=at)


def _paid(was: Renewal, event: CSRRequested) -> Renewal:
    free = was.kind is RenewalKind.REISSUE
    return replace(
        was,
        state=RenewalState.AWAITING_CSRS,
        ending=None,
        payment_id=None if free else uuid.UUID(read_unverified(event.receipt)["payment_id"]),
        receipt=event.receipt,
        # A capture of another amount is held, so it was never recorded.
        captured_minor=None if free else was.amount_minor,
    )


def _save(tx: Tx, rebuilt: _Rebuilt) -> None:
    renewal = rebuilt.renewal
    if renewal.submitted_at is None:
        raise NotRebuilt("its submission is not among the events")
    if not renewal.state.ended and not store.open_items(tx.conn, renewal.id):
        raise NotRebuilt("another open renewal has one of its subscriptions")
    store.save_renewal(tx.conn, renewal)
    if rebuilt.due_at is not None:
        store.set_timer(tx.conn, renewal.id, renewal.state, rebuilt.due_at)
    if renewal.state is RenewalState.CANCELLED:
        _withhold(tx, renewal)
    for step, reason, at in rebuilt.steps:
        timeline_store.add_event(tx, renewal.id, step, details=Details(reason=reason), at=at)


def _withhold(tx: Tx, renewal: Renewal) -> None:
    """Withhold the items to which the tombstone applied: none that ended, nor a refunded one, whose refusal is read
    again.
    """
    refunded = {refund.item_id for refund in store.find_refunds(tx.conn, renewal.id)}
    for item in store.find_items(tx.conn, renewal.id):
        if not item.ended and item.id not in refunded:
            store.save_item(tx.conn, replace(item, state=ItemState.WITHHELD, obstacles=()))
