"""What application does at each command and event: lock, decide, save, announce. The caller commits."""

from dataclasses import replace
from typing import Final

from services.application import store
from services.application.course import lock_known, lock_own, move, note
from services.application.domain import (
    AllRefused,
    Cancel,
    Ending,
    Hold,
    Item,
    ItemsEnded,
    ItemState,
    Release,
    Renewal,
    RenewalState,
    Step,
)
from services.application.refunds import refund_item, refund_rest, take_refund
from services.application.refusals import ARStillChanged, PaidTwice, RenewalNotFound, WrongAmount
from shared import audit
from shared.errors import Ignored
from shared.events.application import CSRRequested, RenewalCancelled, RenewalCompleted
from shared.events.base import Event, ItemId, RenewalId
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CertificateRevoked,
    CSRReceived,
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
from shared.web.auth import Caller


def cancel(tx: Tx, renewal_id: RenewalId, caller: Caller) -> Renewal:
    """The AR cancels: close the checkout first, then ask issuance to withhold. Raises InvalidTransition."""
    was = lock_own(tx, renewal_id, caller)
    renewal = was.after(Cancel, tx.now, ending=Ending.CANCELLED)
    move(tx, was, renewal)
    audit.record(tx, actor=caller.ar_id, action="renewal-cancelled", subject=str(renewal.id))
    note(tx, renewal.id, Step.CANCELLATION_ASKED)
    return renewal


def take_payment(tx: Tx, event: PaymentCaptured) -> None:
    """The renewal is paid: ask for the CSRs; or give the money back if the renewal has ended.

    Money is never ignored: what does not fit is held for a person.
    """
    was = _lock_payable(tx, event)
    renewal = replace(
        was.after(PaymentCaptured, tx.now),
        payment_id=event.payment_id,
        receipt=event.receipt,
        captured_minor=event.amount_minor,
    )
    move(tx, was, renewal)
    note(tx, renewal.id, Step.PAID)
    if renewal.state is RenewalState.AWAITING_CSRS:
        ask_for_csrs(tx, renewal)
    elif renewal.state.ended:
        # No tombstone is needed: of a renewal that ended unpaid no CSR was, or will be, asked for.
        refund_rest(tx, renewal)


def _lock_payable(tx: Tx, event: PaymentCaptured) -> Renewal:
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise RenewalNotFound("money for a renewal that is not ours")
    if renewal.payment_id == event.payment_id:
        raise Ignored("captured before")
    if renewal.payment_id is not None:
        raise PaidTwice(f"{renewal.payment_id} and {event.payment_id}")
    if (event.amount_minor, event.currency) != (renewal.amount_minor, renewal.currency):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    return renewal


def ask_for_csrs(tx: Tx, renewal: Renewal) -> None:
    """Ask the AR for the CSRs, unless another AR is of record by now: then a person decides."""
    if not _is_of_record(tx, renewal):
        move(tx, renewal, renewal.after(Hold, tx.now))
        audit.record(tx, actor="application", action="renewal-held", subject=str(renewal.id))
        note(tx, renewal.id, Step.ON_HOLD, detail="ar-changed")
        return
    assert renewal.attestation is not None
    assert renewal.receipt is not None
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


def _is_of_record(tx: Tx, renewal: Renewal) -> bool:
    return store.find_ars_of_record(tx.conn, renewal.id) == {renewal.ar_id}


def release(tx: Tx, renewal_id: RenewalId, actor: str) -> None:
    """An operator lets a renewal on hold go on, once the signer is the AR of record again.

    Nobody can decide otherwise here: who the AR of record is comes from the register, by an import. A renewal
    whose AR was rightly replaced is cancelled by the new one, or ends by its deadline, and is paid back.
    Raises RenewalNotFound, InvalidTransition, ARStillChanged.
    """
    was = store.lock_renewal(tx.conn, renewal_id)
    if was is None:
        raise RenewalNotFound("there is no such renewal")
    renewal = was.after(Release, tx.now)
    if not _is_of_record(tx, renewal):
        raise ARStillChanged("the signer is not the AR of record of every subscription; import the register first")
    move(tx, was, renewal)
    audit.record(tx, actor=actor, action="renewal-released", subject=str(renewal.id))
    note(tx, renewal.id, Step.RELEASED)
    ask_for_csrs(tx, renewal)


def note_declined(tx: Tx, event: PaymentDeclined) -> None:
    """An attempt to pay failed; the AR may try again."""
    was = lock_known(tx, event)
    move(tx, was, was.after_event(event, tx.now))
    note(tx, event.renewal_id, Step.PAYMENT_DECLINED, detail=event.reason)


def take_expiry(tx: Tx, event: PaymentExpired) -> None:
    """The checkout is closed and nothing was captured: the renewal ends, or is withheld first if it was cancelled."""
    was = lock_known(tx, event)
    renewal = was.after_event(event, tx.now, ending=was.ending or Ending.NOT_PAID)
    move(tx, was, renewal)
    if renewal.state is RenewalState.EXPIRED:
        _announce_end(tx, renewal, Step.EXPIRED)


def take_withholding(tx: Tx, event: IssuanceWithheld) -> None:
    """Nothing will ever be signed: end the renewal, and give back what was captured."""
    was = lock_known(tx, event)
    renewal = was.after_event(event, tx.now, ending=was.ending or Ending.WITHHELD)
    for item in store.find_items(tx.conn, renewal.id):
        if item.state is not ItemState.REFUSED:
            store.save_item(tx.conn, item.after(event))
    move(tx, was, renewal)
    # The money first: who tells the AR of the end then knows what goes back.
    refund_rest(tx, renewal)
    _announce_end(tx, renewal, Step.CANCELLED)


def take_declined_cancellation(tx: Tx, event: CancellationDeclined) -> None:
    """Too late to cancel: the renewal goes on, and may have ended meanwhile."""
    was = lock_known(tx, event)
    renewal = was.after_event(event, tx.now)
    move(tx, was, renewal)
    note(tx, renewal.id, Step.CANCELLATION_DECLINED)
    complete(tx, renewal)


def move_item(tx: Tx, event: OrderOpened | CSRReceived | CertificateAccepted) -> None:
    """An item goes its way."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    note(tx, renewal.id, _EVENT_NAMES[type(event)], item.id)


def take_certificate(tx: Tx, event: CertificateIssued) -> None:
    """An item got its certificate, which is the subscription's current one from now on."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, replace(item.after(event), serial=event.serial))
    store.renew_subscription(
        tx.conn, item.srn, certificate=event.certificate, serial=event.serial, not_after=event.not_after
    )
    note(tx, renewal.id, Step.CERTIFICATE_ISSUED, item.id, event.serial)
    complete(tx, renewal)


def note_revocation(tx: Tx, event: CertificateRevoked) -> None:
    """A certificate of ours was revoked: if it is still the current one, it cannot be renewed online."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.revoke_subscription(tx.conn, item.srn, serial=event.serial)
    note(tx, renewal.id, Step.CERTIFICATE_REVOKED, item.id, event.reason)


def take_refusal(tx: Tx, event: IssuanceRefused) -> None:
    """An item is finally refused: its own amount goes back, the others go on."""
    renewal, item = _lock_item(tx, event, event.item_id)
    store.save_item(tx.conn, item.after(event))
    note(tx, renewal.id, Step.CERTIFICATE_REFUSED, item.id, event.reason)
    refund_item(tx, renewal, item, cause=event.reason)
    complete(tx, renewal)


def note_csr_request(tx: Tx, event: CSRRequestSent) -> None:
    """The AR was asked for the CSRs."""
    lock_known(tx, event)
    note(tx, event.renewal_id, Step.CSR_REQUEST_SENT, at=event.sent_at)


def note_bounce(tx: Tx, event: MailBounced) -> None:
    """A mail could not be delivered."""
    lock_known(tx, event)
    note(tx, event.renewal_id, Step.MAIL_BOUNCED, detail=event.template)


def note_posting(tx: Tx, event: PINEnvelopePosted) -> None:
    """A PIN Envelope is on its way."""
    lock_known(tx, event)
    note(
        tx, event.renewal_id, Step.PIN_ENVELOPE_POSTED, event.item_id, f"{event.server_name} {event.registered_number}"
    )


def note_return(tx: Tx, event: PINEnvelopeReturned) -> None:
    """A PIN Envelope came back."""
    lock_known(tx, event)
    note(tx, event.renewal_id, Step.PIN_ENVELOPE_RETURNED, event.item_id, event.reason)


def note_reissue(tx: Tx, event: PINReissued) -> None:
    """The PIN of a letter is void, and another letter will come."""
    lock_known(tx, event)
    note(tx, event.renewal_id, Step.PIN_REISSUED, event.item_id, event.server_name)


def _lock_item(tx: Tx, event: Event, item_id: ItemId) -> tuple[Renewal, Item]:
    renewal = lock_known(tx, event)
    item = store.find_item(tx.conn, item_id)
    if item is None or item.renewal_id != renewal.id:
        raise Ignored("unknown item")
    return renewal, item


def complete(tx: Tx, renewal: Renewal) -> None:
    """End the renewal when every item has ended; while a cancellation is being answered, the answer decides."""
    items = store.find_items(tx.conn, renewal.id)
    if renewal.state is not RenewalState.AWAITING_CSRS or not all(item.ended for item in items):
        return
    issued = tuple(item.id for item in items if item.got_certificate)
    refused = tuple(item.id for item in items if not item.got_certificate)
    if issued:
        move(tx, renewal, renewal.after(ItemsEnded, tx.now))
        outbox.add(tx, RenewalCompleted(renewal_id=renewal.id, issued=issued, refused=refused))
        note(tx, renewal.id, Step.COMPLETED)
    else:
        ended = renewal.after(AllRefused, tx.now, ending=Ending.REFUSED)
        move(tx, renewal, ended)
        _announce_end(tx, ended, Step.REFUSED)


def _announce_end(tx: Tx, renewal: Renewal, step: Step) -> None:
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
    note(tx, renewal.id, step, detail=renewal.ending)


_EVENT_NAMES: Final = {
    OrderOpened: Step.ORDER_OPENED,
    CSRReceived: Step.CSR_RECEIVED,
    CertificateAccepted: Step.CERTIFICATE_ACCEPTED,
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
    on(PINReissued, note_reissue),
    on(OrderOpened, move_item),
    on(CSRReceived, move_item),
    on(CertificateIssued, take_certificate),
    on(IssuanceRefused, take_refusal),
    on(IssuanceWithheld, take_withholding),
    on(CancellationDeclined, take_declined_cancellation),
    on(CertificateAccepted, move_item),
    on(CertificateRevoked, note_revocation),
)
