"""What mailing does for each event: queue a mail, keep a sealed envelope, or drop what is not out yet."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.mailing import attested, store
from services.mailing.domain import (
    Contact,
    ContactUnknown,
    EnvelopeConflict,
    EnvelopeUnusable,
    Item,
    Mail,
    Template,
    message_id,
)
from shared import audit, proofs
from shared.errors import Ignored
from shared.events.application import CSRRequested, RenewalCancelled, RenewalCompleted
from shared.events.base import ItemId, RenewalId
from shared.events.issuance import PINEnvelopeSealed
from shared.proofs import ProofKeys
from shared.subscriptions import Subscription, on
from shared.tx import Tx

ACTOR: Final = "mailing"


@dataclass(frozen=True, kw_only=True)
class Post:
    """What every mail of this CA has in common: the Message-IDs' domain and the portal it links to."""

    domain: str
    portal: str

    def link(self, renewal_id: RenewalId) -> str:
        """The renewal's page. Who opens it proves who they are there: the link is no secret."""
        return f"{self.portal.rstrip('/')}/renewals/{renewal_id}"


def queue_csr_request(event: CSRRequested, tx: Tx, *, keys: ProofKeys, post: Post) -> None:
    """Ask the AR whom identity attested for the CSRs of what they signed, once payment says that it is paid.

    Raises TokenRefused, ProofRefused or AddressRefused, which hold the event: an intruder in application sends no mail.
    """
    proven = proofs.attested(
        event.renewal_id, document=event.document, attestation=event.attestation, keys=keys.identity, tx=tx
    )
    proofs.paid(proven, receipt=event.receipt, keys=keys.payment, tx=tx)
    contact = attested.contact(proven)
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal.cancelled_at is not None:
        raise Ignored("the renewal is cancelled")
    if renewal.contact is None:
        store.save_contact(tx.conn, event.renewal_id, contact)
    _queue(tx, event.renewal_id, contact, Template.CSR_REQUEST, post, {"items": [_shown(i) for i in contact.items]})


def queue_completed(event: RenewalCompleted, tx: Tx, *, post: Post) -> None:
    """Tell the AR what was issued and what was not."""
    contact = store.lock_renewal(tx.conn, event.renewal_id).contact
    if contact is None:
        raise ContactUnknown("the renewal completed without a request for its CSRs")
    content: dict[str, object] = {
        "issued": _shown_of(contact, event.issued),
        "refused": _shown_of(contact, event.refused),
    }
    _queue(tx, event.renewal_id, contact, Template.RENEWAL_COMPLETED, post, content)


def _queue(
    tx: Tx, renewal_id: RenewalId, contact: Contact, template: Template, post: Post, content: dict[str, object]
) -> None:
    mail = Mail(
        id=tx.new_id(),
        renewal_id=renewal_id,
        template=template,
        language=contact.language,
        recipient_name=contact.recipient_name,
        recipient_address=contact.recipient_address,
        message_id=message_id(renewal_id, template, contact.recipient_address, post.domain),
        content={
            "reference": contact.reference,
            "subscriber": contact.subscriber,
            "link": post.link(renewal_id),
            **content,
        },
    )
    if store.add_mail(tx.conn, mail, tx.now):
        audit.record(
            tx, actor=ACTOR, action="mail-queued", subject=str(renewal_id), details={"template": template.value}
        )


def _shown_of(contact: Contact, item_ids: Iterable[ItemId]) -> list[dict[str, object]]:
    by_id = {item.item_id: item for item in contact.items}
    try:
        return [_shown(by_id[item_id]) for item_id in item_ids]
    except KeyError as error:
        raise ContactUnknown("an item that nobody asked a CSR for") from error


def _shown(item: Item) -> dict[str, object]:
    return {"reference": item.reference, "product": item.product, "server_names": list(item.server_names)}


def queue_envelope(event: PINEnvelopeSealed, tx: Tx) -> None:
    """Keep the envelope, closed, for the print process."""
    sealed = _blob(event)
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    details: dict[str, audit.Detail] = {"envelope_id": str(event.envelope_id), "server_name": event.server_name}
    if renewal.cancelled_at is not None:
        store.add_dropped_envelope(tx.conn, event, "the renewal is cancelled", tx.now)
        audit.record(tx, actor=ACTOR, action="envelope-dropped", subject=str(event.renewal_id), details=details)
    elif store.add_envelope(tx.conn, event, sealed, tx.now):
        audit.record(tx, actor=ACTOR, action="envelope-received", subject=str(event.renewal_id), details=details)
    elif not store.is_same_envelope(tx.conn, event, sealed):
        raise EnvelopeConflict(f"a letter for {event.server_name} is under way already")


def _blob(event: PINEnvelopeSealed) -> bytes:
    try:
        sealed = base64.b64decode(event.sealed, validate=True)
    except binascii.Error as error:
        raise EnvelopeUnusable("not base64") from error
    if not sealed:
        raise EnvelopeUnusable("empty")
    return sealed


def drop(event: RenewalCancelled, tx: Tx) -> None:
    """The renewal ended without a certificate: what is not out yet stays in.

    CancellationRequested drops nothing: it may be declined, and then the AR needs mail and PINs after all.
    """
    store.lock_renewal(tx.conn, event.renewal_id)
    store.save_cancelled(tx.conn, event.renewal_id, tx.now)
    mails = store.drop_queued_mails(tx.conn, event.renewal_id, tx.now)
    envelopes = store.drop_unprinted_envelopes(tx.conn, event.renewal_id, "the renewal is cancelled")
    audit.record(
        tx,
        actor=ACTOR,
        action="unsent-dropped",
        subject=str(event.renewal_id),
        details={"mails": mails, "envelopes": envelopes},
    )


def subscriptions(*, keys: ProofKeys, post: Post) -> tuple[Subscription, ...]:
    """Which handler answers which event."""
    return (
        on(CSRRequested, partial(queue_csr_request, keys=keys, post=post)),
        on(RenewalCompleted, partial(queue_completed, post=post)),
        on(RenewalCancelled, drop),
        on(PINEnvelopeSealed, queue_envelope),
    )
