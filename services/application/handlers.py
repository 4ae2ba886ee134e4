"""Handlers of application's commands and events: lock, decide, save, announce. The caller commits."""

from dataclasses import replace

from services.application import delays, representatives, store, timeline_store
from services.application.csr_requests import ask_for_csrs
from services.application.domain import (
    AllRefused,
    Cancel,
    EndReason,
    Item,
    ItemsEnded,
    ItemState,
    Renewal,
    RenewalState,
)
from services.application.refunds import find_or_recover, refund_item, refund_rest
from services.application.refusals import PaidTwice, RenewalNotFound, WrongAmount
from services.application.timeline import Details, TimelineEvent
from shared import audit
from shared.errors import Ignored
from shared.events.application import (
    CancellationRequested,
    CheckoutClosureRequested,
    ClosureReason,
    RenewalCancelled,
    RenewalCompleted,
)
from shared.events.base import RenewalEvent
from shared.events.identity import AuthorisedRepresentativeReplaced
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CertificateRevoked,
    CSRReceived,
    IssuanceDelayed,
    IssuanceRefused,
    IssuanceWithheld,
    OrderOpened,
    PINReissued,
)
from shared.events.mailing import CSRRequestSent, MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired, PaymentRefunded
from shared.messaging import outbox
from shared.messaging.subscriptions import Subscription, on
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId
from shared.web.auth import Caller


def cancel(tx: Tx, renewal_id: RenewalId, caller: Caller) -> Renewal:
    """Cancel the renewal for its AR: close the checkout first, then request that issuance withholds.

    Raises RenewalNotFound, InvalidTransition.
    """
    was = store.lock_own_renewal(tx.conn, renewal_id, caller.subscriber_id)
    if was is None:
        raise RenewalNotFound("there is no such renewal")
    renewal = was.after(Cancel, tx.now, ending=EndReason.CANCELLED)
    store.save_transition(tx.conn, was, renewal, tx.now)
    audit.record(tx, actor=caller.ar_id, action="renewal-cancelled", subject=str(renewal.id))
    timeline_store.add_event(tx, renewal.id, TimelineEvent.CANCELLATION_ASKED)
    if renewal.state is RenewalState.CLOSING_CHECKOUT:
        outbox.add(tx, CheckoutClosureRequested(renewal_id=renewal.id, reason=ClosureReason.CANCELLED))
    elif renewal.state is RenewalState.WITHHOLDING:
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id, reason=renewal.ending))
    return renewal


def on_payment_captured(tx: Tx, event: PaymentCaptured) -> None:
    """Record the payment and request the CSRs; refund it if the renewal has ended.

    Unexpected payments are never ignored: they are held for a person.
    """
    was = _lock_payable(tx, event)
    renewal = replace(
        was.after(PaymentCaptured, tx.now),
        payment_id=event.payment_id,
        receipt=event.receipt,
        captured_minor=event.amount_minor,
    )
    store.save_transition(tx.conn, was, renewal, tx.now)
    timeline_store.add_event(tx, renewal.id, TimelineEvent.PAID)
    if renewal.state is RenewalState.AWAITING_CSRS:
        ask_for_csrs(tx, renewal)
    elif was.state is RenewalState.CLOSING_CHECKOUT:
        # Cancelled meanwhile: issuance withholds before the money goes back.
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id, reason=renewal.ending))
    elif renewal.state.ended:
        # No tombstone is needed: no CSR of a renewal that ended unpaid was or will be requested.
        refund_rest(tx, renewal)


def _lock_payable(tx: Tx, event: PaymentCaptured) -> Renewal:
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise RenewalNotFound("payment for an unknown renewal")
    if renewal.payment_id == event.payment_id:
        raise Ignored("captured before")
    if renewal.payment_id is not None:
        raise PaidTwice(f"{renewal.payment_id} and {event.payment_id}")
    if (event.amount_minor, event.currency) != (renewal.amount_minor, renewal.currency):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    return renewal


def on_payment_declined(tx: Tx, event: PaymentDeclined) -> None:
    """Record a declined attempt to pay; the AR may try again."""
    was = _lock_known(tx, event)
    store.save_transition(tx.conn, was, was.after_event(event, tx.now), tx.now)
    timeline_store.add_event(tx, event.renewal_id, TimelineEvent.PAYMENT_DECLINED, details=Details(reason=event.reason))


def on_payment_expired(tx: Tx, event: PaymentExpired) -> None:
    """End a renewal whose payment expired; if it was cancelled, request that issuance withholds first."""
    was = _lock_known(tx, event)
    renewal = was.after_event(event, tx.now, ending=was.ending or EndReason.NOT_PAID)
    store.save_transition(tx.conn, was, renewal, tx.now)
    if renewal.state is RenewalState.EXPIRED:
        _announce_end(tx, renewal, TimelineEvent.EXPIRED)
    elif was.state is RenewalState.CLOSING_CHECKOUT:
        outbox.add(tx, CancellationRequested(renewal_id=renewal.id, reason=renewal.ending))


def on_payment_refunded(tx: Tx, event: PaymentRefunded) -> None:
    """Record that the refund was made, in any state of the renewal."""
    renewal = _lock_known(tx, event)
    refund = find_or_recover(tx, renewal, event)
    if (event.amount_minor, event.currency) != (refund.amount_minor, renewal.currency):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    if not store.settle_refund(tx.conn, refund.id, event.refunded_at):
        raise Ignored("refund is settled")
    timeline_store.add_event(
        tx, renewal.id, TimelineEvent.REFUNDED, refund.item_id, Details(amount_minor=event.amount_minor)
    )


def on_issuance_withheld(tx: Tx, event: IssuanceWithheld) -> None:
    """End the renewal, since nothing will be signed, and refund what was captured."""
    was = _lock_known(tx, event)
    renewal = was.after_event(event, tx.now, ending=was.ending or EndReason.WITHHELD)
    for item in store.find_items(tx.conn, renewal.id):
        if item.state is not ItemState.REFUSED:
            store.save_item(tx.conn, item.after(event))
    store.save_transition(tx.conn, was, renewal, tx.now)
    # Announce refunds before the end: mailing includes the refunded sum in the cancellation e-mail.
    refund_rest(tx, renewal)
    _announce_end(tx, renewal, TimelineEvent.CANCELLED)


def on_cancellation_declined(tx: Tx, event: CancellationDeclined) -> None:
    """Resume the renewal, since it is too late to cancel; complete it if every item has ended meanwhile."""
    was = _lock_known(tx, event)
    renewal = was.after_event(event, tx.now)
    store.save_transition(tx.conn, was, renewal, tx.now)
    timeline_store.add_event(tx, renewal.id, TimelineEvent.CANCELLATION_DECLINED)
    delays.notify_again(tx, renewal)
    complete(tx, renewal)


def on_order_opened(tx: Tx, event: OrderOpened) -> None:
    """Record that issuance has opened the item's order."""
    _save_item(tx, event, TimelineEvent.ORDER_OPENED)


def on_csr_received(tx: Tx, event: CSRReceived) -> None:
    """Record that the item has a CSR."""
    _save_item(tx, event, TimelineEvent.CSR_RECEIVED)


def on_issuance_delayed(tx: Tx, event: IssuanceDelayed) -> None:
    """Record what the item's certificate waits for, and notify the AR of what they can do; the deadline stays."""
    renewal, item = _lock_item(tx, event, event.item_id)
    delays.record_delay(tx, renewal, item, event)


def on_certificate_accepted(tx: Tx, event: CertificateAccepted) -> None:
    """Record that the AR has accepted the item's certificate."""
    _save_item(tx, event, TimelineEvent.CERTIFICATE_ACCEPTED)


def _save_item(tx: Tx, event: OrderOpened | CSRReceived | CertificateAccepted, shown: TimelineEvent) -> None:
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    timeline_store.add_event(tx, renewal.id, shown, item.id)


def on_certificate_issued(tx: Tx, event: CertificateIssued) -> None:
    """Record an item's certificate, which becomes the subscription's current one."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, replace(item.after(event), serial=event.serial))
    store.renew_subscription(
        tx.conn, item, certificate=event.certificate, serial=event.serial, not_after=event.not_after
    )
    timeline_store.add_event(tx, renewal.id, TimelineEvent.CERTIFICATE_ISSUED, item.id, Details(serial=event.serial))
    complete(tx, renewal)


def on_certificate_revoked(tx: Tx, event: CertificateRevoked) -> None:
    """Record the revocation of a certificate: the current one can then not be renewed online.

    An event that contains the certificate is about one that nobody got: it is not the item's.
    """
    renewal, item = _lock_item(tx, event, event.item_id)
    if event.certificate is not None:
        return
    store.revoke_subscription(tx.conn, item.srn, serial=event.serial)
    timeline_store.add_event(tx, renewal.id, TimelineEvent.CERTIFICATE_REVOKED, item.id, Details(reason=event.reason))


def on_issuance_refused(tx: Tx, event: IssuanceRefused) -> None:
    """Record the final refusal of an item and refund its amount; other items continue."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    timeline_store.add_event(tx, renewal.id, TimelineEvent.CERTIFICATE_REFUSED, item.id, Details(reason=event.reason))
    refund_item(tx, renewal, item, cause=event.reason)
    complete(tx, renewal)


def on_csr_request_sent(tx: Tx, event: CSRRequestSent) -> None:
    """Record that the CSR request e-mail was sent."""
    _lock_known(tx, event)
    timeline_store.add_event(tx, event.renewal_id, TimelineEvent.CSR_REQUEST_SENT, at=event.sent_at)


def on_mail_bounced(tx: Tx, event: MailBounced) -> None:
    """Record a bounced e-mail."""
    _lock_known(tx, event)
    timeline_store.add_event(tx, event.renewal_id, TimelineEvent.MAIL_BOUNCED, details=Details(template=event.template))


def on_pin_envelope_posted(tx: Tx, event: PINEnvelopePosted) -> None:
    """Record a posted PIN Envelope."""
    _lock_known(tx, event)
    details = Details(server_name=event.server_name, registered_number=event.registered_number)
    timeline_store.add_event(tx, event.renewal_id, TimelineEvent.PIN_ENVELOPE_POSTED, event.item_id, details)


def on_pin_envelope_returned(tx: Tx, event: PINEnvelopeReturned) -> None:
    """Record a returned PIN Envelope."""
    _lock_known(tx, event)
    timeline_store.add_event(
        tx, event.renewal_id, TimelineEvent.PIN_ENVELOPE_RETURNED, event.item_id, Details(reason=event.reason)
    )


def on_pin_reissued(tx: Tx, event: PINReissued) -> None:
    """Record that a PIN was voided and another letter follows."""
    _lock_known(tx, event)
    timeline_store.add_event(
        tx, event.renewal_id, TimelineEvent.PIN_REISSUED, event.item_id, Details(server_name=event.server_name)
    )


def _lock_known(tx: Tx, event: RenewalEvent) -> Renewal:
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise Ignored("unknown renewal")
    return renewal


def _lock_item(tx: Tx, event: RenewalEvent, item_id: ItemId) -> tuple[Renewal, Item]:
    renewal = _lock_known(tx, event)
    item = store.find_item(tx.conn, item_id)
    if item is None or item.renewal_id != renewal.id:
        raise Ignored("unknown item")
    return renewal, item


def complete(tx: Tx, renewal: Renewal) -> None:
    """Complete the renewal if every item has ended, unless a cancellation awaits its answer, which then decides."""
    items = store.find_items(tx.conn, renewal.id)
    if renewal.state is not RenewalState.AWAITING_CSRS or not all(item.ended for item in items):
        return
    issued = tuple(item.id for item in items if item.got_certificate)
    refused = tuple(item.id for item in items if not item.got_certificate)
    if issued:
        store.save_transition(tx.conn, renewal, renewal.after(ItemsEnded, tx.now), tx.now)
        outbox.add(tx, RenewalCompleted(renewal_id=renewal.id, issued=issued, refused=refused))
        timeline_store.add_event(tx, renewal.id, TimelineEvent.COMPLETED)
    else:
        ended = renewal.after(AllRefused, tx.now, ending=EndReason.REFUSED)
        store.save_transition(tx.conn, renewal, ended, tx.now)
        _announce_end(tx, ended, TimelineEvent.REFUSED)


def _announce_end(tx: Tx, renewal: Renewal, shown: TimelineEvent) -> None:
    assert renewal.ending is not None
    outbox.add(
        tx,
        RenewalCancelled(
            renewal_id=renewal.id,
            reason=renewal.ending,
            document=renewal.document,
            attestation=renewal.attestation,
        ),
    )
    timeline_store.add_event(tx, renewal.id, shown, details=Details(reason=renewal.ending))


def subscriptions() -> tuple[Subscription, ...]:
    """Return application's subscriptions."""
    return (
        on(AuthorisedRepresentativeReplaced, representatives.on_ar_replaced),
        on(PaymentCaptured, on_payment_captured),
        on(PaymentDeclined, on_payment_declined),
        on(PaymentExpired, on_payment_expired),
        on(PaymentRefunded, on_payment_refunded),
        on(CSRRequestSent, on_csr_request_sent),
        on(MailBounced, on_mail_bounced),
        on(PINEnvelopePosted, on_pin_envelope_posted),
        on(PINEnvelopeReturned, on_pin_envelope_returned),
        on(PINReissued, on_pin_reissued),
        on(OrderOpened, on_order_opened),
        on(CSRReceived, on_csr_received),
        on(IssuanceDelayed, on_issuance_delayed),
        on(CertificateIssued, on_certificate_issued),
        on(IssuanceRefused, on_issuance_refused),
        on(IssuanceWithheld, on_issuance_withheld),
        on(CancellationDeclined, on_cancellation_declined),
        on(CertificateAccepted, on_certificate_accepted),
        on(CertificateRevoked, on_certificate_revoked),
    )
