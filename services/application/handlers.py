"""What application does at each command and event: lock, decide, save, announce. The caller commits."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from services.application import store
from services.application.domain import (
    AllRefused,
    Cancel,
    CSRDeadline,
    Hold,
    Item,
    ItemsEnded,
    PaymentDeadline,
    Release,
    Renewal,
    RenewalNotFound,
    RenewalState,
    WrongAmount,
)
from shared import audit, outbox
from shared.auth import Caller
from shared.errors import Ignored
from shared.events.application import (
    CancellationRequested,
    CheckoutClosureRequested,
    ClosureReason,
    CSRRequested,
    RefundDue,
    RenewalCancelled,
    RenewalCompleted,
)
from shared.events.base import Event, ItemId, RenewalId
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CSRReceived,
    IssuanceRefused,
    IssuanceWithheld,
    OrderOpened,
)
from shared.events.mailing import CSRRequestSent, MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired, PaymentRefunded
from shared.subscriptions import Subscription, on
from shared.tx import Tx

PAYMENT_DEADLINE: Final = "payment-deadline"
CSR_DEADLINE: Final = "csr-deadline"
# Post and people are slow: three months are far beyond both, and before that the AR can always cancel.
CSR_TIME: Final = timedelta(days=90)


def lock_own(tx: Tx, renewal_id: RenewalId, caller: Caller) -> Renewal:
    """The caller's own renewal, locked. Raises RenewalNotFound for anybody else's."""
    renewal = store.lock_renewal(tx.conn, renewal_id)
    if renewal is None or renewal.subscriber_id != caller.subscriber_id:
        raise RenewalNotFound("there is no such renewal")
    return renewal


def lock_known(tx: Tx, event: Event) -> Renewal:
    """The event's renewal, locked; an event about a renewal that was never ours changes nothing."""
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise Ignored("unknown renewal")
    return renewal


def cancel(renewal_id: RenewalId, caller: Caller, tx: Tx) -> Renewal:
    """The AR cancels: close the checkout first, then ask issuance to withhold. Raises InvalidTransition."""
    renewal = lock_own(tx, renewal_id, caller).after(Cancel, tx.now)
    store.save_renewal(tx.conn, renewal)
    if renewal.state is RenewalState.CLOSING_CHECKOUT:
        outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.CANCELLED))
    elif renewal.state is RenewalState.WITHHOLDING:
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id))
    audit.record(tx, actor=caller.ar_id, action="renewal-cancelled", subject=str(renewal.id))
    _note(tx, renewal.id, "cancellation-asked")
    return renewal


def take_payment(event: PaymentCaptured, tx: Tx) -> None:
    """The renewal is paid: ask for the CSRs; or give the money back if the renewal has ended."""
    renewal = lock_known(tx, event)
    if (event.amount_minor, event.currency) != (renewal.amount_minor, renewal.currency):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    paid = replace(renewal.after_event(event, tx.now), receipt=event.receipt, captured_minor=event.amount_minor)
    store.save_renewal(tx.conn, paid)
    store.clear_timer(tx.conn, paid.id, PAYMENT_DEADLINE)
    _note(tx, paid.id, "paid")
    if paid.state is RenewalState.AWAITING_CSRS:
        ask_for_csrs(paid, tx)
    elif renewal.state is RenewalState.CLOSING_CHECKOUT:
        outbox.add(tx, CancellationRequested(renewal_id=paid.id))
    elif paid.state.ended:
        _refund(tx, paid, item=None, amount=event.amount_minor, reason="renewal had ended")


def ask_for_csrs(renewal: Renewal, tx: Tx) -> None:
    """Ask the AR for the CSRs, unless another AR is of record by now: then a person decides."""
    items = store.find_items(tx.conn, renewal.id)
    subscriptions = store.lock_subscriptions(tx.conn, [item.srn for item in items])
    if any(subscription.ar_id != renewal.ar_id for subscription in subscriptions):
        store.save_renewal(tx.conn, renewal.after(Hold, tx.now))
        audit.record(tx, actor="application", action="renewal-held", subject=str(renewal.id))
        _note(tx, renewal.id, "on-hold", detail="ar-changed")
        return
    assert renewal.attestation is not None
    assert renewal.receipt is not None
    store.set_timer(tx.conn, renewal.id, CSR_DEADLINE, tx.now + CSR_TIME)
    outbox.add(
        tx,
        CSRRequested(
            renewal_id=renewal.id,
            language=renewal.language,
            document=renewal.document,
            attestation=renewal.attestation,
            receipt=renewal.receipt,
        ),
    )


def release(renewal_id: RenewalId, actor: str, tx: Tx) -> None:
    """An operator lets a renewal on hold go on, after the AR of record is the signer again or by decision."""
    renewal = store.lock_renewal(tx.conn, renewal_id)
    if renewal is None:
        raise RenewalNotFound("there is no such renewal")
    renewal = renewal.after(Release, tx.now)
    store.save_renewal(tx.conn, renewal)
    audit.record(tx, actor=actor, action="renewal-released", subject=str(renewal.id))
    _note(tx, renewal.id, "released")
    ask_for_csrs(renewal, tx)


def note_declined(event: PaymentDeclined, tx: Tx) -> None:
    """An attempt to pay failed; the AR may try again."""
    store.save_renewal(tx.conn, lock_known(tx, event).after_event(event, tx.now))
    _note(tx, event.renewal_id, "payment-declined", detail=event.reason)


def take_expiry(event: PaymentExpired, tx: Tx) -> None:
    """The checkout is closed and nothing was captured: the renewal ends, or is withheld first if it was cancelled."""
    renewal = lock_known(tx, event).after_event(event, tx.now)
    store.save_renewal(tx.conn, renewal)
    if renewal.state is RenewalState.WITHHOLDING:
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id))
        return
    outbox.add(tx, RenewalCancelled(renewal_id=renewal.id, reason="not paid in time"))
    _note(tx, renewal.id, "expired")


def take_withholding(event: IssuanceWithheld, tx: Tx) -> None:
    """Nothing will ever be signed: end the renewal, and give back what was captured."""
    renewal = lock_known(tx, event).after_event(event, tx.now)
    for item in store.find_items(tx.conn, renewal.id):
        if not item.ended:
            store.save_item(tx.conn, item.after(event))
    store.save_renewal(tx.conn, renewal)
    outbox.add(tx, RenewalCancelled(renewal_id=renewal.id, reason="cancelled"))
    _note(tx, renewal.id, "cancelled")
    if renewal.captured_minor is not None:
        left = renewal.captured_minor - store.refunds_total(tx.conn, renewal.id)
        _refund(tx, renewal, item=None, amount=left, reason="cancelled")


def take_declined_cancellation(event: CancellationDeclined, tx: Tx) -> None:
    """Too late to cancel: the renewal goes on, and may have ended meanwhile."""
    renewal = lock_known(tx, event).after_event(event, tx.now)
    store.save_renewal(tx.conn, renewal)
    store.set_timer(tx.conn, renewal.id, CSR_DEADLINE, tx.now + CSR_TIME)
    _note(tx, renewal.id, "cancellation-declined")
    _complete(tx, renewal)


def take_refund(event: PaymentRefunded, tx: Tx) -> None:
    """The money has gone back."""
    lock_known(tx, event)
    if not store.settle_refund(tx.conn, event.refund_id, event.refunded_at):
        raise Ignored("no such open refund")
    _note(tx, event.renewal_id, "refunded", detail=str(event.amount_minor))


def move_item(event: OrderOpened | CSRReceived | CertificateAccepted, tx: Tx) -> None:
    """An item goes its way."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    _note(tx, renewal.id, _EVENT_NAMES[type(event)], item.id)


def take_certificate(event: CertificateIssued, tx: Tx) -> None:
    """An item got its certificate, which is the subscription's current one from now on."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, replace(item.after(event), serial=event.serial))
    store.renew_subscription(
        tx.conn, item.srn, certificate=event.certificate, serial=event.serial, not_after=event.not_after
    )
    _note(tx, renewal.id, "certificate-issued", item.id, event.serial)
    _complete(tx, renewal)


def take_refusal(event: IssuanceRefused, tx: Tx) -> None:
    """An item is finally refused: its own amount goes back, the others go on."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    _note(tx, renewal.id, "certificate-refused", item.id, event.reason)
    _refund(tx, renewal, item=item, amount=item.amount_minor, reason="refused")
    _complete(tx, renewal)


def note_csr_request(event: CSRRequestSent, tx: Tx) -> None:
    """The AR was asked for the CSRs."""
    lock_known(tx, event)
    _note(tx, event.renewal_id, "csr-request-sent", at=event.sent_at)


def note_bounce(event: MailBounced, tx: Tx) -> None:
    """A mail could not be delivered."""
    lock_known(tx, event)
    _note(tx, event.renewal_id, "mail-bounced")


def note_posting(event: PINEnvelopePosted, tx: Tx) -> None:
    """A PIN Envelope is on its way."""
    lock_known(tx, event)
    _note(tx, event.renewal_id, "pin-envelope-posted", event.item_id, f"{event.server_name} {event.registered_number}")


def note_return(event: PINEnvelopeReturned, tx: Tx) -> None:
    """A PIN Envelope came back."""
    lock_known(tx, event)
    _note(tx, event.renewal_id, "pin-envelope-returned", event.item_id, event.reason)


def fire_timer(renewal_id: RenewalId, kind: str, tx: Tx) -> None:
    """A deadline has passed."""
    renewal = store.lock_renewal(tx.conn, renewal_id)
    assert renewal is not None
    trigger = PaymentDeadline if kind == PAYMENT_DEADLINE else CSRDeadline
    awaited = RenewalState.AWAITING_PAYMENT if kind == PAYMENT_DEADLINE else RenewalState.AWAITING_CSRS
    if renewal.state is not awaited:
        return
    store.save_renewal(tx.conn, renewal.after(trigger, tx.now))
    audit.record(tx, actor="application", action=kind, subject=str(renewal.id))
    _note(tx, renewal.id, kind)
    if trigger is PaymentDeadline:
        outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.DEADLINE))
    else:
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id))


def _lock_item(tx: Tx, event: Event, item_id: ItemId) -> tuple[Renewal, Item]:
    renewal = lock_known(tx, event)
    item = store.find_item(tx.conn, item_id)
    if item is None or item.renewal_id != renewal.id:
        raise Ignored("unknown item")
    return renewal, item


def _complete(tx: Tx, renewal: Renewal) -> None:
    """End the renewal when every item has ended; while a cancellation is being answered, the answer decides."""
    items = store.find_items(tx.conn, renewal.id)
    if renewal.state is not RenewalState.AWAITING_CSRS or not all(item.ended for item in items):
        return
    issued = tuple(item.id for item in items if item.got_certificate)
    refused = tuple(item.id for item in items if not item.got_certificate)
    if issued:
        store.save_renewal(tx.conn, renewal.after(ItemsEnded, tx.now))
        outbox.add(tx, RenewalCompleted(renewal_id=renewal.id, issued=issued, refused=refused))
        _note(tx, renewal.id, "completed")
    else:
        store.save_renewal(tx.conn, renewal.after(AllRefused, tx.now))
        outbox.add(tx, RenewalCancelled(renewal_id=renewal.id, reason="every certificate was refused"))
        _note(tx, renewal.id, "refused")


def _refund(tx: Tx, renewal: Renewal, *, item: Item | None, amount: int, reason: str) -> None:
    """Money goes back once, whatever is delivered how often."""
    if amount <= 0:
        return
    refund_id = tx.new_id()
    item_id = None if item is None else item.id
    if store.add_refund(tx.conn, refund_id, renewal.id, item_id, amount):
        outbox.add(
            tx,
            RefundDue(
                renewal_id=renewal.id,
                refund_id=refund_id,
                item_id=item_id,
                amount_minor=amount,
                currency=renewal.currency,
                reason=reason,
            ),
        )
        audit.record(
            tx, actor="application", action="refund-due", subject=str(renewal.id), details={"amount_minor": amount}
        )


def _note(
    tx: Tx,
    renewal_id: RenewalId,
    event: str,
    item_id: ItemId | None = None,
    detail: str | None = None,
    at: datetime | None = None,
) -> None:
    store.add_to_timeline(tx.conn, renewal_id, at or tx.now, event, item_id, detail)


_EVENT_NAMES: Final = {
    OrderOpened: "order-opened",
    CSRReceived: "csr-received",
    CertificateAccepted: "certificate-accepted",
}

SUBSCRIPTIONS: Final[tuple[Subscription, ...]] = (
    on(PaymentCaptured, take_payment),
    on(PaymentDeclined, note_declined),
    on(PaymentExpired, take_expiry),
    on(PaymentRefunded, take_refund),
    on(CSRRequestSent, note_csr_request),
    on(MailBounced, note_bounce),
    on(PINEnvelopePosted, note_posting),
    on(PINEnvelopeReturned, note_return),
    on(OrderOpened, move_item),
    on(CSRReceived, move_item),
    on(CertificateIssued, take_certificate),
    on(IssuanceRefused, take_refusal),
    on(IssuanceWithheld, take_withholding),
    on(CancellationDeclined, take_declined_cancellation),
    on(CertificateAccepted, move_item),
)
