"""Handlers of mailing's events: queue an e-mail, store a sealed envelope, or drop what is not sent yet."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from services.mailing import envelope_store, persons, revocations, store
from services.mailing.domain import (
    VOID_AFTER_CANCELLATION,
    Contact,
    Item,
    Refund,
    Template,
    mail_address,
    one_line,
)
from services.mailing.mail_queue import ACTOR, Content, Post, queue_mail
from services.mailing.refusals import ContactUnknown, EnvelopeConflict, EnvelopeUnusable, ServerNameUnknown
from services.mailing.reminders import content_of, reissue_content_of
from shared import audit
from shared.effect_ids import effect_id
from shared.errors import Ignored
from shared.events.application import (
    CertificateDelayed,
    CSRRequested,
    RefundDue,
    ReissueReminderDue,
    RenewalCancelled,
    RenewalCompleted,
    RenewalReminderDue,
)
from shared.events.identity import ECertRolledOver
from shared.events.issuance import CertificateRevoked, PINEnvelopeSealed
from shared.messaging.subscriptions import Subscription, on
from shared.pki.names import certificate_names
from shared.security import proofs
from shared.security.proofs import Attested, DocumentItem, ProofKeys
from shared.tx import Tx
from shared.vocabulary import HONG_KONG, ItemId

# Replacements within this time are named in one e-mail.
_ONE_ORDER: Final = timedelta(hours=1)


def on_csr_requested(tx: Tx, event: CSRRequested, *, keys: ProofKeys, post: Post) -> None:
    """Queue the CSR request to the attested AR, once the receipt proves the payment, or that nothing is to be paid.

    Raises TokenRefused, ProofRefused or AddressRefused, which hold the event: an intruder in application sends no
    e-mail.
    """
    proven = proofs.attested(
        event.renewal_id, document=event.document, attestation=event.attestation, keys=keys.identity, tx=tx
    )
    receipt = proofs.settled(proven, receipt=event.receipt, keys=keys, tx=tx)
    contact = _contact(proven)
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal.cancelled_at is not None:
        raise Ignored("the renewal is cancelled")
    if renewal.contact is None:
        store.save_contact(tx.conn, event.renewal_id, contact)
    content: dict[str, Any] = {"items": [_shown(item) for item in contact.items], "paid": None}
    if receipt is not None:
        content["paid"] = _money(receipt.amount_minor, receipt.currency)
        content["paid_on"] = receipt.captured_at.astimezone(HONG_KONG).date().isoformat()
    queue_mail(tx, event.renewal_id, contact, post, Template.CSR_REQUEST, content)


def _contact(proven: Attested) -> Contact:
    """Return contact and items of the renewal, from identity's attestation only, in the language of the document.

    Raises AddressRefused.
    """
    return Contact(
        reference=one_line(proven.document.reference),
        language=proven.document.language,
        subscriber=one_line(proven.subscriber.name),
        recipient_name=one_line(proven.ar.name),
        recipient_address=mail_address(proven.ar.email),
        items=tuple(_item(item) for item in proven.document.items),
    )


def _item(item: DocumentItem) -> Item:
    return Item(
        item_id=ItemId(item.item_id),
        reference=one_line(item.reference),
        product=item.product,
        server_names=tuple(one_line(name) for name in item.server_names),
    )


def on_certificate_delayed(tx: Tx, event: CertificateDelayed, *, post: Post) -> None:
    """Queue the e-mail that says what an item's certificate waits for, in place of an earlier one not sent yet.

    Raises ContactUnknown or ServerNameUnknown, which hold the event: no text of an intruder in application is mailed.
    """
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal.cancelled_at is not None:
        raise Ignored("the renewal is cancelled")
    if renewal.contact is None:
        raise ContactUnknown("a certificate is delayed without a request for its CSR")
    (item,) = _find(renewal.contact, [event.item_id])
    missing = _missing(item, event)
    content = {
        "items": [_shown(item)],
        "missing": missing,
        "until": event.until.astimezone(HONG_KONG).date().isoformat(),
    }
    occasion = effect_id("delay", event.item_id, *[part for each in missing for part in each.values()])
    queue_mail(
        tx, event.renewal_id, renewal.contact, post, Template.CERTIFICATE_DELAYED, content, event.item_id, occasion
    )


def _missing(item: Item, event: CertificateDelayed) -> list[dict[str, str]]:
    """Return the obstacles, with the server names of the item's own certificate. Raises ServerNameUnknown."""
    if not {each.server_name for each in event.obstacles} <= {*certificate_names(item.server_names)}:
        raise ServerNameUnknown("an obstacle of another certificate's server name")
    return [{"server_name": each.server_name, "kind": each.kind, "reason": each.reason} for each in event.obstacles]


def on_reminder_due(tx: Tx, event: RenewalReminderDue, *, post: Post) -> None:
    """Queue the reminder of the end of a paid period, in place of an earlier one not sent yet.

    Raises ContactUnknown or NumberUnusable, which hold the event: no text of an intruder in application is mailed.
    """
    contact = store.lock_renewal(tx.conn, event.renewal_id).contact
    if contact is None:
        raise ContactUnknown("a period ends that no request for a CSR preceded")
    content = content_of(event, portal=post.portal, today=tx.now.astimezone(HONG_KONG).date())
    content = {"items": [_shown(item) for item in _find(contact, [event.item_id])], **content}
    occasion = effect_id("reminder", event.item_id, str(event.paid_until), event.days_before)
    queue_mail(tx, event.renewal_id, contact, post, Template.RENEWAL_REMINDER, content, event.item_id, occasion)


def on_reissue_reminder_due(tx: Tx, event: ReissueReminderDue, *, post: Post) -> None:
    """Queue the reminder of a certificate's end within the paid period, in place of an earlier one not sent yet.

    Raises ContactUnknown or NumberUnusable, which hold the event, as for the reminder of the period's end.
    """
    contact = store.lock_renewal(tx.conn, event.renewal_id).contact
    if contact is None:
        raise ContactUnknown("a certificate ends that no request for a CSR preceded")
    content = reissue_content_of(event, portal=post.portal, today=tx.now.astimezone(HONG_KONG).date())
    content = {"items": [_shown(item) for item in _find(contact, [event.item_id])], **content}
    occasion = effect_id("reissue-reminder", event.item_id, event.serial, event.days_before)
    queue_mail(tx, event.renewal_id, contact, post, Template.REISSUE_REMINDER, content, event.item_id, occasion)


def on_refund_due(tx: Tx, event: RefundDue, *, post: Post) -> None:
    """Record a refund. For a refused item the AR is mailed at once, for a whole renewal by the e-mail at its end.

    A refund of money that came after that end has an e-mail of its own.
    """
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if not store.add_refund(tx.conn, event):
        raise Ignored("this refund is known")
    if renewal.contact is None:
        return
    ended = renewal.cancelled_at is not None
    content: dict[str, object] = {"refund": _money(event.amount_minor, event.currency)}
    if event.item_id is None and ended:
        queue_mail(tx, event.renewal_id, renewal.contact, post, Template.PAYMENT_RETURNED, content)
    elif event.item_id is not None and not ended:
        refunds = store.find_refunds(tx.conn, event.renewal_id)
        content["items"] = _refused(renewal.contact, [event.item_id], refunds)
        queue_mail(tx, event.renewal_id, renewal.contact, post, Template.ITEM_REFUSED, content, event.item_id)


def on_renewal_completed(tx: Tx, event: RenewalCompleted, *, post: Post) -> None:
    """Queue the e-mail that lists the issued and the refused items."""
    contact = store.lock_renewal(tx.conn, event.renewal_id).contact
    if contact is None:
        raise ContactUnknown("the renewal completed without a request for its CSRs")
    refunds: Sequence[Refund] = ()
    store.drop_queued_mails(tx.conn, event.renewal_id, [Template.CERTIFICATE_DELAYED], tx.now)
    if event.refused:
        refunds = store.find_refunds(tx.conn, event.renewal_id)
        store.drop_queued_mails(tx.conn, event.renewal_id, [Template.ITEM_REFUSED], tx.now)
    content = {
        "issued": [_shown(item) for item in _find(contact, event.issued)],
        "refused": _refused(contact, event.refused, refunds),
        "refund": _total(refunds),
    }
    queue_mail(tx, event.renewal_id, contact, post, Template.RENEWAL_COMPLETED, content)


def on_renewal_cancelled(tx: Tx, event: RenewalCancelled, *, keys: ProofKeys, post: Post) -> None:
    """Drop what is not sent yet, and queue the e-mail about a renewal that ended without a certificate.

    CancellationRequested drops nothing: it may be declined, and then the AR needs e-mails and PINs after all. Raises
    TokenRefused, ProofRefused or AddressRefused, which hold the event.
    """
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal.cancelled_at is not None:
        raise Ignored("the end of the renewal is recorded already")
    contact = renewal.contact or _named_by(tx, event, keys)
    store.save_cancelled(tx.conn, event.renewal_id, tx.now)
    mails = store.drop_queued_mails(tx.conn, event.renewal_id, VOID_AFTER_CANCELLATION, tx.now)
    envelopes = envelope_store.drop_unposted_envelopes(tx.conn, event.renewal_id, "the renewal is cancelled", tx.now)
    audit.record(
        tx,
        actor=ACTOR,
        action="unsent-dropped",
        subject=str(event.renewal_id),
        details={"mails": mails, "envelopes": envelopes},
    )
    if contact is None:
        return
    if renewal.contact is None:
        store.save_contact(tx.conn, event.renewal_id, contact)
    refunds = store.find_refunds(tx.conn, event.renewal_id)
    content = {
        "reason": event.reason,
        "ended_on": tx.now.astimezone(HONG_KONG).date().isoformat(),
        "items": _refused(contact, [item.item_id for item in contact.items], refunds),
        "refund": _total(refunds),
        "paid": renewal.contact is not None,
    }
    queue_mail(tx, event.renewal_id, contact, post, Template.RENEWAL_CANCELLED, content)


def _named_by(tx: Tx, event: RenewalCancelled, keys: ProofKeys) -> Contact | None:
    """Return the attested AR of a renewal that was never paid; None for an event of earlier code, which did not carry
    it.
    """
    if event.document is None or event.attestation is None:
        return None
    return _contact(
        proofs.attested(
            event.renewal_id, document=event.document, attestation=event.attestation, keys=keys.identity, tx=tx
        )
    )


def _find(contact: Contact, item_ids: Iterable[ItemId]) -> list[Item]:
    by_id = {item.item_id: item for item in contact.items}
    try:
        return [by_id[item_id] for item_id in item_ids]
    except KeyError as error:
        raise ContactUnknown("an item for which no CSR was requested") from error


def _refused(contact: Contact, item_ids: Iterable[ItemId], refunds: Sequence[Refund]) -> list[Content]:
    """Return the items without a certificate; those refused one by one with their refund and its cause."""
    own = {refund.item_id: refund for refund in refunds}
    return [_shown(item, own.get(item.item_id)) for item in _find(contact, item_ids)]


def _shown(item: Item, refund: Refund | None = None) -> Content:
    shown: dict[str, object] = {
        "reference": item.reference,
        "product": item.product,
        "server_names": list(item.server_names),
    }
    if refund is not None:
        shown |= {"cause": refund.cause, "refund": _money(refund.amount_minor, refund.currency)}
    return shown


def _total(refunds: Sequence[Refund]) -> Content | None:
    """Return the sum of all refunds; a renewal has one currency."""
    return _money(sum(refund.amount_minor for refund in refunds), refunds[0].currency) if refunds else None


def _money(amount_minor: int, currency: str) -> Content:
    return {"amount_minor": amount_minor, "currency": currency}


def on_pin_envelope_sealed(tx: Tx, event: PINEnvelopeSealed, *, post: Post) -> None:
    """Store the sealed envelope for the print process; an earlier one that it replaces is no longer posted.

    The AR is mailed about every replacement: somebody else may have ordered it, and the earlier PIN is void.
    """
    sealed = _blob(event)
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    details: dict[str, audit.Detail] = {"envelope_id": str(event.envelope_id), "server_name": event.server_name}
    if event.replaces is not None:
        replaced = envelope_store.give_way(tx.conn, event, "its PIN was voided", tx.now)
        details["replaces"] = [str(envelope_id) for envelope_id in replaced]
    if renewal.cancelled_at is not None:
        envelope_store.add_dropped_envelope(tx.conn, event, "the renewal is cancelled", tx.now)
        audit.record(tx, actor=ACTOR, action="envelope-dropped", subject=str(event.renewal_id), details=details)
    elif envelope_store.add_envelope(tx.conn, event, sealed, tx.now, tx.traceparent):
        audit.record(tx, actor=ACTOR, action="envelope-received", subject=str(event.renewal_id), details=details)
        if event.replaces is not None and renewal.contact is not None:
            _mail_replacement(tx, event, renewal.contact, post)
    elif not envelope_store.is_same_envelope(tx.conn, event, sealed):
        raise EnvelopeConflict(f"a letter for {event.server_name} is under way already")


def _mail_replacement(tx: Tx, event: PINEnvelopeSealed, contact: Contact, post: Post) -> None:
    """Queue the e-mail that names the item's server names with a new PIN Envelope of the last hour.

    Raises ContactUnknown.
    """
    (item,) = _find(contact, [event.item_id])
    replaced = envelope_store.find_replaced_names(tx.conn, event.item_id, tx.now - _ONE_ORDER)
    names = [name for name in item.server_names if name in {*replaced, event.server_name}]
    content = {"items": [{**_shown(item), "server_names": names}]}
    queue_mail(
        tx, event.renewal_id, contact, post, Template.PIN_REPLACED, content, event.item_id, occasion=event.envelope_id
    )


def _blob(event: PINEnvelopeSealed) -> bytes:
    try:
        sealed = base64.b64decode(event.sealed, validate=True)
    except binascii.Error as error:
        raise EnvelopeUnusable("not base64") from error
    if not sealed:
        raise EnvelopeUnusable("empty")
    return sealed


def on_certificate_revoked(tx: Tx, event: CertificateRevoked, *, post: Post) -> None:
    """Queue the e-mail about a revoked certificate, by whom and why; a graver reason later has an e-mail of its own.

    An event that contains the certificate is about one that nobody got. Raises ContactUnknown or NumberUnusable.
    """
    if event.certificate is not None:
        raise Ignored("nobody got the certificate")
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal.contact is None:
        raise ContactUnknown("a certificate is revoked without a request for its CSR")
    (item,) = _find(renewal.contact, [event.item_id])
    content = {"items": [_shown(item)], **revocations.content_of(event)}
    occasion = effect_id("revocation", event.item_id, event.serial, event.reason)
    queue_mail(
        tx, event.renewal_id, renewal.contact, post, Template.CERTIFICATE_REVOKED, content, event.item_id, occasion
    )


def subscriptions(*, keys: ProofKeys, post: Post) -> tuple[Subscription, ...]:
    """Return mailing's subscriptions."""
    return (
        on(ECertRolledOver, partial(persons.on_ecert_rolled_over, domain=post.domain)),
        on(CSRRequested, partial(on_csr_requested, keys=keys, post=post)),
        on(CertificateDelayed, partial(on_certificate_delayed, post=post)),
        on(RenewalReminderDue, partial(on_reminder_due, post=post)),
        on(ReissueReminderDue, partial(on_reissue_reminder_due, post=post)),
        on(RefundDue, partial(on_refund_due, post=post)),
        on(RenewalCompleted, partial(on_renewal_completed, post=post)),
        on(RenewalCancelled, partial(on_renewal_cancelled, keys=keys, post=post)),
        on(CertificateRevoked, partial(on_certificate_revoked, post=post)),
        on(PINEnvelopeSealed, partial(on_pin_envelope_sealed, post=post)),
    )
