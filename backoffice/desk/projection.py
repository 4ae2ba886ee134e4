"""What each event changes on the desk: always a step of the renewal's time line, often more.

There is no order between two topics, so every handler makes the rows it needs and leaves other topics' columns alone.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from backoffice.desk import store, telling
from shared.errors import Refused
from shared.events import application, issuance, mailing, payment
from shared.events.base import Envelope, Event, Topic
from shared.events.registry import ALL
from shared.messaging import feed_signature
from shared.messaging.subscriptions import Subscription, on
from shared.security import proofs
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet
from shared.tx import Tx

# Every event of this topic is signed by its writer.
FEED: Final = Topic.ISSUANCE
# Sealed PINs are for mailing alone.
READ: Final = tuple(topic for topic in Topic if topic is not Topic.PIN_ENVELOPES)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Whose signatures the desk verifies."""

    proofs: ProofKeys
    feed: Callable[[], KeySet]


def take(event: Event, tx: Tx, *, keys: Keys) -> None:
    """Add the event to its renewal's time line, and change what it changes.

    Raises SignatureWrong for an event of the feed that its writer did not sign: it is held, and changes nothing.
    """
    signed_by = feed_signature.verify(_cause(tx), keys.feed()) if event.TOPIC is FEED else None
    facts = telling.facts_of(event)
    if isinstance(event, application.CSRRequested):
        facts |= take_request(event, tx, keys.proofs)
    elif (change := CHANGES.get(type(event))) is not None:
        change(event, tx)
    item_id: uuid.UUID | None = getattr(event, "item_id", None)
    store.add_step(tx.conn, _cause(tx), item_id, facts, signed_by)


def _cause(tx: Tx) -> Envelope:
    assert tx.event is not None
    return tx.event


def _when(tx: Tx) -> datetime:
    return _cause(tx).time


def take_request(event: application.CSRRequested, tx: Tx, keys: ProofKeys) -> dict[str, str]:
    """What was signed and paid for, if identity and payment say so; their word or its refusal is a fact of the step.

    On application's word alone nothing is shown: issuance opens no order on it either.
    """
    try:
        proven = proofs.attested(
            event.renewal_id, document=event.document, attestation=event.attestation, keys=keys.identity, tx=tx
        )
        proofs.paid(proven, receipt=event.receipt, keys=keys.payment, tx=tx)
    except Refused as refused:
        return {"proofs": refused.reason}
    store.save_attested(tx.conn, event.renewal_id, proven, _when(tx))
    return {"proofs": "verified"}


def take_submission(event: application.RenewalSubmitted, tx: Tx) -> None:
    """A renewal waits for its payment."""
    store.save_submitted(tx.conn, event, _when(tx))


def take_payment(event: payment.PaymentCaptured, tx: Tx) -> None:
    """The money is there."""
    store.save_moment(tx.conn, event.renewal_id, "paid_at", event.captured_at)


def take_completion(event: application.RenewalCompleted, tx: Tx) -> None:
    """Every item has ended."""
    store.save_moment(tx.conn, event.renewal_id, "completed_at", _when(tx))


def take_end(event: application.RenewalCancelled, tx: Tx) -> None:
    """What was not issued never will be."""
    store.save_moment(tx.conn, event.renewal_id, "cancelled_at", _when(tx))
    store.save_ending(tx.conn, event.renewal_id, event.reason)
    store.withdraw_items(tx.conn, event.renewal_id)


def take_withholding(event: issuance.IssuanceWithheld, tx: Tx) -> None:
    """A permanent tombstone."""
    store.save_moment(tx.conn, event.renewal_id, "withheld_at", _when(tx))
    store.withdraw_items(tx.conn, event.renewal_id)


def take_order(event: issuance.OrderOpened, tx: Tx) -> None:
    """An item waits for its CSR."""
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


def take_csr(event: issuance.CSRReceived, tx: Tx) -> None:
    """An item's CSR passed every check."""
    store.change_item(tx.conn, event.item_id, {"csr_received_at": _when(tx), "key_kind": event.key_kind})


def take_certificate(event: issuance.CertificateIssued, tx: Tx) -> None:
    """An item has its certificate."""
    changes = {
        "serial": event.serial,
        "issued_at": _when(tx),
        "not_before": event.not_before,
        "not_after": event.not_after,
        "sha256": event.certificate_sha256,
    }
    store.change_item(tx.conn, event.item_id, changes)


def take_refusal(event: issuance.IssuanceRefused, tx: Tx) -> None:
    """An item will never get one from this renewal."""
    store.save_refused(tx.conn, event, _when(tx))


def take_acceptance(event: issuance.CertificateAccepted, tx: Tx) -> None:
    """The AR accepted it."""
    store.change_item(tx.conn, event.item_id, {"accepted_at": event.accepted_at})


def take_revocation(event: issuance.CertificateRevoked, tx: Tx) -> None:
    """It is on the next CRL."""
    store.change_item(tx.conn, event.item_id, {"revoked_at": event.revoked_at, "revocation": event.reason})


def take_despatch(event: mailing.PINEnvelopePosted, tx: Tx) -> None:
    """A PIN Envelope went to the post."""
    changes = {"registered_number": event.registered_number, "posted_on": event.posted_on}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


def take_return(event: mailing.PINEnvelopeReturned, tx: Tx) -> None:
    """It came back."""
    store.save_returned(tx.conn, event)


def take_voiding(event: issuance.PINVoided, tx: Tx) -> None:
    """Its PIN opens nothing any more."""
    changes = {"voided_at": _when(tx), "void_reason": event.reason}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


def take_reissue(event: issuance.PINReissued, tx: Tx) -> None:
    """Another letter is being made."""
    changes = {"announced_at": _when(tx), "replaces": event.replaces}
    store.save_envelope(tx.conn, event.renewal_id, event.item_id, event.envelope_id, event.server_name, changes)


CHANGES: Final[Mapping[type[Event], Callable[[Any, Tx], None]]] = {
    application.RenewalSubmitted: take_submission,
    application.RenewalCompleted: take_completion,
    application.RenewalCancelled: take_end,
    payment.PaymentCaptured: take_payment,
    mailing.PINEnvelopePosted: take_despatch,
    mailing.PINEnvelopeReturned: take_return,
    issuance.OrderOpened: take_order,
    issuance.PINVoided: take_voiding,
    issuance.PINReissued: take_reissue,
    issuance.CSRReceived: take_csr,
    issuance.CertificateIssued: take_certificate,
    issuance.IssuanceRefused: take_refusal,
    issuance.IssuanceWithheld: take_withholding,
    issuance.CertificateAccepted: take_acceptance,
    issuance.CertificateRevoked: take_revocation,
}


def subscriptions(keys: Keys) -> tuple[Subscription, ...]:
    """Every event of every topic that the desk reads."""
    return tuple(on(event, partial(take, keys=keys)) for event in ALL.values() if event.TOPIC in READ)
