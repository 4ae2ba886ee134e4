"""Ends of intents: bytes that are never signed again, whose serial number is revoked because a signature may exist."""

from dataclasses import replace
from typing import Final

from services.issuance import certificate_store, pin_store, store, stray_certificates
from services.issuance.ca import profiles
from services.issuance.ca.crl import RevocationReason
from services.issuance.domain import IntentAged, Order, OrderState
from shared import audit
from shared.events.issuance import IssuanceRefused
from shared.messaging import outbox
from shared.tx import Tx
from shared.vocabulary import ItemId

ACTOR: Final = "issuance"


def end(
    tx: Tx,
    item_id: ItemId,
    *,
    objection: str | None,
    findings: tuple[str, ...] = (),
    reason: RevocationReason | None = None,
    actor: str = ACTOR,
) -> None:
    """End the intent of an item that waits for its certificate, and revoke its precertificate, under its order's lock.

    A crash may have lost the signature between the CA's key and the database, so that the next CRL lists the serial
    number even if no signature is stored.
    """
    ended = certificate_store.end_intent(tx.conn, item_id, findings=findings)
    if ended is None:
        return
    details: dict[str, audit.Detail] = {
        "item_id": str(ended.item_id),
        "objection": objection,
        "findings": list(findings),
    }
    audit.record(tx, actor=actor, action="intent-ended", subject=ended.serial, details=details)
    der = ended.precertificate or profiles.unsigned(ended.tbs)
    stray_certificates.revoke_precertificate(tx, der, actor, reason=reason)


def end_and_refuse(tx: Tx, order: Order, *, objection: str | None, findings: tuple[str, ...] = ()) -> None:
    """End the intent of an order that waits for its certificate, and refuse the order."""
    end(tx, order.item_id, objection=objection, findings=findings)
    refuse(tx, order, objection or "lint")


def refuse(tx: Tx, order: Order, reason: str) -> None:
    """End an order without a certificate, for good; the caller holds its locks."""
    store.save_order(tx.conn, replace(order.after(IssuanceRefused), refusal=reason, due_at=None))
    pin_store.save_pins(tx.conn, order.item_id, "void")
    outbox.add(tx, IssuanceRefused(renewal_id=order.renewal_id, item_id=order.item_id, reason=reason))
    audit.record(tx, actor=ACTOR, action="issuance-refused", subject=str(order.item_id), details={"reason": reason})


def revoke_waiting(tx: Tx, serial: str, reason: RevocationReason, actor: str) -> bool:
    """Revoke the precertificate of an intent that waits, and refuse its order. Returns False if there is none."""
    found = certificate_store.find_waiting(tx.conn, serial)
    order = None if found is None else store.find_order(tx.conn, found.item_id)
    if found is None or order is None or order.spki_sha256 is None:
        return False
    store.lock_key(tx.conn, order.spki_sha256)
    store.lock_gate(tx.conn, found.renewal_id)
    order = store.lock_order(tx.conn, found.item_id)
    assert order is not None
    if order.state is not OrderState.ISSUING or certificate_store.find_waiting(tx.conn, serial) is None:
        return False  # settled meanwhile
    end(tx, found.item_id, objection="revoked", reason=reason, actor=actor)
    refuse(tx, order, "revoked")
    return True


def forget_signatures(tx: Tx, actor: str) -> int:
    """End every intent that waits, because a restore has lost what was signed of it. Returns their number.

    In the lost time another certificate of the same bytes may have been signed, given out, revoked or replaced. Each
    order gets another intent, unless the lost events, which are replayed later, say how it ended.
    """
    waiting = certificate_store.all_waiting(tx.conn)
    for intent in waiting:
        store.lock_gate(tx.conn, intent.renewal_id)
        order = store.lock_order(tx.conn, intent.item_id)
        assert order is not None
        end(tx, intent.item_id, objection="restored", actor=actor)
        if order.state is OrderState.ISSUING:
            store.save_order(tx.conn, replace(order.after(IntentAged), due_at=tx.now))
    return len(waiting)
