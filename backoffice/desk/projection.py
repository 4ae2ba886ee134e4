"""Projection of events onto the desk's tables: each event adds a step to its renewal's timeline, many change a row.

Two topics have no order between them, so every handler creates the rows it needs and leaves the columns of other topics
alone.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from backoffice.desk import event_texts, store
from shared.errors import Refused
from shared.events import application, issuance, mailing, payment
from shared.events.base import CONFIDENTIAL, Envelope, Event, Topic
from shared.events.registry import ALL
from shared.messaging import feed_signature
from shared.messaging.subscriptions import Subscription, on
from shared.security import proofs
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet
from shared.tx import Tx

# The writer signs every event of this topic.
FEED: Final = Topic.ISSUANCE
READ: Final = tuple(topic for topic in Topic if topic not in CONFIDENTIAL)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Public keys with which the desk verifies events, attestations and receipts."""

    proofs: ProofKeys
    feed: Callable[[], KeySet]


def take(tx: Tx, event: Event, *, keys: Keys) -> None:
    """Add the event to its renewal's timeline, and update the rows that it concerns.

    Raises SignatureWrong for an event of the feed without a valid signature of its writer: the event is held.
    """
    signed_by = feed_signature.verify(_cause(tx), keys.feed()) if event.TOPIC is FEED else None
    facts = event_texts.facts_of(event)
    if isinstance(event, application.CSRRequested):
        facts |= take_request(tx, event, keys.proofs)
    elif (change := CHANGES.get(type(event))) is not None:
        change(tx, event)
    item_id: uuid.UUID | None = getattr(event, "item_id", None)
    store.add_step(tx.conn, _cause(tx), item_id, facts, signed_by)


def _cause(tx: Tx) -> Envelope:
    assert tx.event is not None
    return tx.event


def _when(tx: Tx) -> datetime:
    return _cause(tx).time


def take_request(tx: Tx, event: application.CSRRequested, keys: ProofKeys) -> dict[str, str]:
    """Record the attested document and recipient, if both proofs are valid. Returns the outcome as facts of the step.

    Without valid proofs nothing is shown: application's event alone proves nothing, and issuance opens no order on it.
    """
    try:
        proven = proofs.attested(
            event.renewal_id, document=event.document, attestation=event.attestation, keys=keys.identity, tx=tx
        )
        proofs.settled(proven, receipt=event.receipt, keys=keys, tx=tx)
    except Refused as refused:
        return {"proofs": refused.reason}
    store.save_attested(tx.conn, event.renewal_id, proven, _when(tx))
    return {"proofs": "verified"}


def take_submission(tx: Tx, event: application.RenewalSubmitted) -> None:
    """Record that a renewal awaits its payment."""
    store.save_submitted(tx.conn, event, _when(tx))


def take_payment(tx: Tx, event: payment.PaymentCaptured) -> None:
    """Record that a renewal is paid."""
    store.save_moment(tx.conn, event.renewal_id, "paid_at", event.captured_at)


def take_completion(tx: Tx, event: application.RenewalCompleted) -> None:
    """Record that every item has ended."""
    store.save_moment(tx.conn, event.renewal_id, "completed_at", _when(tx))


def take_end(tx: Tx, event: application.RenewalCancelled) -> None:
    """Record that a renewal ended; items without a certificate get none."""
    store.save_moment(tx.conn, event.renewal_id, "cancelled_at", _when(tx))
    store.save_ending(tx.conn, event.renewal_id, event.reason)
    store.withdraw_items(tx.conn, event.renewal_id)


def take_withholding(tx: Tx, event: issuance.IssuanceWithheld) -> None:
    """Record that issuance is withheld for good."""
    store.save_moment(tx.conn, event.renewal_id, "withheld_at", _when(tx))
    store.withdraw_items(tx.conn, event.renewal_id)


def take_order(tx: Tx, event: issuance.OrderOpened) -> None:
    """Record an item that awaits its CSR."""
    store.save_item(
        tx.conn,
        event.renewal_id,
        item_id=event.item_id,
        reference=event.reference,
        srn=event.srn,
        product=event.product,
        server_names=event.server_names,
        column="opened_at",
        moment=_when(tx),
    )
    store.withdraw_items(tx.conn, event.renewal_id)


def take_csr(tx: Tx, event: issuance.CSRReceived) -> None:
    """Record that an item's CSR passed all checks; another CSR has other obstacles, or none."""
    store.change_item(tx.conn, event.item_id, {"csr_received_at": _when(tx), "key_kind": event.key_kind})
    store.clear_obstacles(tx.conn, event.item_id)


def take_delay(tx: Tx, event: issuance.IssuanceDelayed) -> None:
    """Record what an item's certificate waits for."""
    store.save_obstacles(tx.conn, event)


def take_notice(tx: Tx, event: application.CertificateDelayed) -> None:
    """Record until when an item's certificate is waited for, as its AR was notified."""
    store.save_waits_until(tx.conn, event)


def take_certificate(tx: Tx, event: issuance.CertificateIssued) -> None:
    """Record an item's certificate."""
    changes = {
        "serial": event.serial,
        "issued_at": _when(tx),
        "not_before": event.not_before,
        "not_after": event.not_after,
        "sha256": event.certificate_sha256,
    }
    store.change_item(tx.conn, event.item_id, changes)


def take_refusal(tx: Tx, event: issuance.IssuanceRefused) -> None:
    """Record that an item gets no certificate from this renewal."""
    store.save_refused(tx.conn, event, _when(tx))


def take_acceptance(tx: Tx, event: issuance.CertificateAccepted) -> None:
    """Record the AR's acceptance."""
    store.change_item(tx.conn, event.item_id, {"accepted_at": event.accepted_at})


def take_revocation(tx: Tx, event: issuance.CertificateRevoked) -> None:
    """Record a revocation, unless the event contains the certificate: then it is of one that nobody got."""
    if event.certificate is not None:
        return
    store.change_item(tx.conn, event.item_id, {"revoked_at": event.revoked_at, "revocation": event.reason})


def take_despatch(tx: Tx, event: mailing.PINEnvelopePosted) -> None:
    """Record a posted PIN Envelope."""
    changes = {"registered_number": event.registered_number, "posted_on": event.posted_on}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


def take_return(tx: Tx, event: mailing.PINEnvelopeReturned) -> None:
    """Record a returned PIN Envelope."""
    store.save_returned(tx.conn, event)


def take_voiding(tx: Tx, event: issuance.PINVoided) -> None:
    """Record that a PIN is no longer usable."""
    changes = {"voided_at": _when(tx), "void_reason": event.reason}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


def take_reissue(tx: Tx, event: issuance.PINReissued) -> None:
    """Record that another letter is being made."""
    changes = {"announced_at": _when(tx), "replaces": event.replaces}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


CHANGES: Final[Mapping[type[Event], Callable[[Tx, Any], None]]] = {
    application.RenewalSubmitted: take_submission,
    application.CertificateDelayed: take_notice,
    application.RenewalCompleted: take_completion,
    application.RenewalCancelled: take_end,
    payment.PaymentCaptured: take_payment,
    mailing.PINEnvelopePosted: take_despatch,
    mailing.PINEnvelopeReturned: take_return,
    issuance.OrderOpened: take_order,
    issuance.PINVoided: take_voiding,
    issuance.PINReissued: take_reissue,
    issuance.CSRReceived: take_csr,
    issuance.IssuanceDelayed: take_delay,
    issuance.CertificateIssued: take_certificate,
    issuance.IssuanceRefused: take_refusal,
    issuance.IssuanceWithheld: take_withholding,
    issuance.CertificateAccepted: take_acceptance,
    issuance.CertificateRevoked: take_revocation,
}


def subscriptions(keys: Keys) -> tuple[Subscription, ...]:
    """Return the subscriptions to all topics that the desk reads."""
    return tuple(on(event, partial(take, keys=keys)) for event in ALL.values() if event.TOPIC in READ)
