"""Replay of our own announcements: after a restore the outbox knows more than the other tables.

`recall` re-inserts the lost events. Their facts are stored again here, and nothing is announced a second time. The
replay is idempotent. Announced facts are trusted (ADR 0040).
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance import (
    certificate_issuance,
    certificate_store,
    ended_intents,
    pin_store,
    recovery_store,
    store,
    stray_store,
)
from services.issuance.ca import profiles
from services.issuance.ca.crl import GRAVITY, RevocationReason
from services.issuance.ct import tbs as ct_tbs
from services.issuance.ct.tbs import NotSuchTBS
from services.issuance.domain import Certificate, Order, OrderState
from services.issuance.recovery_store import Announced
from shared import audit
from shared.events.base import Event
from shared.events.issuance import (
    CertificateAccepted,
    CertificateIssued,
    CertificateRevoked,
    CSRReceived,
    IssuanceRefused,
    IssuanceWithheld,
    OrderOpened,
    PINEnvelopeSealed,
    PINReissued,
)
from shared.messaging import codec
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId

_WITHOUT_INTENT: Final = frozenset({OrderState.AWAITING_CSR, OrderState.CSR_RECEIVED})
_UNSIGNED: Final = _WITHOUT_INTENT | {OrderState.ISSUING}


def replay(tx: Tx, renewal_id: RenewalId, *, recovery_id: int | None = None) -> None:
    """Store the announced facts about this renewal again: all of them, or those of one recovery.

    An order whose CSRRequested has not been read again stays unknown, with all that followed.
    """
    announced = recovery_store.find_announced(tx.conn, renewal_id, recovery_id)
    if not announced:
        return
    store.lock_gate(tx.conn, renewal_id)
    _put_back_envelopes(tx, announced)
    for each in announced:
        if (put_back := _BY_TYPE.get(each.type)) is not None:
            event, change = put_back
            change(tx, codec.decode_data(each.data, event), each.time)
    details: dict[str, audit.Detail] = {"events": len(announced)}
    audit.record(tx, actor="issuance", action="announced-state-put-back", subject=str(renewal_id), details=details)


def opened_or_refused(tx: Tx, renewal_id: RenewalId) -> set[ItemId]:
    """Return the items whose opening, or refusal without an order, was announced before a restore."""
    kinds: Mapping[str, type[OrderOpened | IssuanceRefused]] = {
        each.TYPE: each for each in (OrderOpened, IssuanceRefused)
    }
    announced = recovery_store.find_announced(tx.conn, renewal_id, None)
    return {codec.decode_data(each.data, kinds[each.type]).item_id for each in announced if each.type in kinds}


def _put_back_envelopes(tx: Tx, announced: Sequence[Announced]) -> None:
    """Plan the lost PINs again under their ids, each in place of the one before it.

    Their hashes are lost: while a CSR is awaited, `work` replaces those whose letters were sent by another letter.
    """
    kinds: Mapping[str, type[PINReissued | PINEnvelopeSealed]] = {
        each.TYPE: each for each in (PINReissued, PINEnvelopeSealed)
    }
    found = [(each.time, codec.decode_data(each.data, kinds[each.type])) for each in announced if each.type in kinds]
    for time, event in sorted(found, key=lambda each: each[0]):
        recovery_store.keep_envelope(tx.conn, event.item_id, event.server_name, event.envelope_id, time)
    sealed = {event.envelope_id for _, event in found if isinstance(event, PINEnvelopeSealed)}
    recovery_store.mark_sealed_voided(tx.conn, sealed)


def _receive_csr(tx: Tx, event: CSRReceived, at: datetime) -> None:
    order = store.lock_order(tx.conn, event.item_id)
    if order is None:
        return
    spki_sha256 = bytes.fromhex(event.spki_sha256)
    _claim_key(tx, order, spki_sha256)
    # Without the CSR (events of earlier code) the order awaits another one, with the PINs of another letter.
    if event.csr is None or order.state not in _WITHOUT_INTENT:
        return
    received = replace(
        order,
        state=OrderState.CSR_RECEIVED,
        csr=base64.b64decode(event.csr, validate=True),
        csr_sha256=bytes.fromhex(event.csr_sha256),
        spki_sha256=spki_sha256,
        key_kind=event.key_kind,
        csr_received_at=at,
        refusal=None,
        due_at=tx.now,
        traceparent=tx.traceparent,
    )
    store.save_order(tx.conn, received)


def _claim_key(tx: Tx, order: Order, spki_sha256: bytes) -> None:
    renewal = store.find_renewal(tx.conn, order.renewal_id)
    assert renewal is not None
    store.claim_key(tx.conn, spki_sha256, renewal.subscriber_id, order.item_id)


def _issue(tx: Tx, event: CertificateIssued, at: datetime) -> None:
    order = store.lock_order(tx.conn, event.item_id)
    if order is None or certificate_store.find_by_serial(tx.conn, event.serial) is not None:
        return
    stray_store.drop_ended(tx.conn, event.serial)  # its intent was ended for want of this event
    certificate = _keep_certificate(tx, order, event.certificate, at, intent="signed")
    _claim_key(tx, order, certificate.spki_sha256)
    pin_store.save_pins(tx.conn, order.item_id, "spent")
    store.save_order(tx.conn, replace(order, state=OrderState.ISSUED, due_at=None))


def _keep_certificate(tx: Tx, order: Order, pem: str, at: datetime, *, intent: str) -> Certificate:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    certificate = certificate_issuance.certificate_of(
        der, item_id=order.item_id, renewal_id=order.renewal_id, issued_at=at
    )
    _keep_intent(tx, certificate, intent)
    certificate_store.add_certificate(tx.conn, replace(certificate, given_out=intent == "signed"))
    return certificate


def _keep_intent(tx: Tx, certificate: Certificate, state: str) -> None:
    """Re-insert the intent; the precertificate's bytes follow from the certificate's."""
    made = profiles.tbs_of(certificate.der)
    try:
        tbs = ct_tbs.precertificate_of(made)
    except NotSuchTBS:  # issued before certificates had SCTs
        recovery_store.keep_intent(tx.conn, certificate, state, tbs=made, certificate_tbs=None)
    else:
        recovery_store.keep_intent(tx.conn, certificate, state, tbs=tbs, certificate_tbs=made)


def _refuse(tx: Tx, event: IssuanceRefused, _: datetime) -> None:
    order = store.lock_order(tx.conn, event.item_id)
    if order is None or order.state not in _UNSIGNED:
        return
    ended_intents.end(tx, order.item_id, objection=event.reason)
    store.save_order(tx.conn, replace(order, state=OrderState.REFUSED, refusal=event.reason, due_at=None))
    pin_store.save_pins(tx.conn, order.item_id, "void")


def _withhold(tx: Tx, event: IssuanceWithheld, at: datetime) -> None:
    store.save_withheld(tx.conn, event.renewal_id, at)


def _accept(tx: Tx, event: CertificateAccepted, _: datetime) -> None:
    order = store.lock_order(tx.conn, event.item_id)
    if order is not None and order.state is OrderState.ISSUED:
        store.save_order(tx.conn, replace(order, state=OrderState.ACCEPTED))
        certificate_store.save_accepted(tx.conn, event.serial, event.accepted_at)


def _revoke(tx: Tx, event: CertificateRevoked, at: datetime) -> None:
    order = store.lock_order(tx.conn, event.item_id)
    found = certificate_store.lock_certificate(tx.conn, event.serial)
    if found is None and order is not None and event.certificate is not None:
        found = _keep_certificate(tx, order, event.certificate, at, intent="tombstone")
    if found is None:
        return
    reason = RevocationReason(event.reason)
    if reason is RevocationReason.KEY_COMPROMISE:
        store.add_blocked_key(tx.conn, found.spki_sha256, f"revocation of {event.serial}", event.revoked_at)
    if found.revocation_reason is None or GRAVITY[reason] > GRAVITY[RevocationReason(found.revocation_reason)]:
        certificate_store.save_revoked(tx.conn, event.serial, reason, event.revoked_at)


_Change = Callable[[Tx, Any, datetime], None]
_BY_TYPE: Final[Mapping[str, tuple[type[Event], _Change]]] = {
    event.TYPE: (event, change)
    for event, change in (
        (CSRReceived, _receive_csr),
        (CertificateIssued, _issue),
        (IssuanceRefused, _refuse),
        (IssuanceWithheld, _withhold),
        (CertificateAccepted, _accept),
        (CertificateRevoked, _revoke),
    )
}
