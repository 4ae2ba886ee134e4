"""Handlers of application's events: take the issuance lock, decide, save, announce. The caller commits."""

from dataclasses import replace
from functools import partial
from typing import Final

from services.issuance import ended_intents, pin_store, proofs, state_replay, store
from services.issuance.domain import Order, OrderState
from shared import audit
from shared.errors import Ignored
from shared.events.application import CancellationRequested, CSRRequested
from shared.events.issuance import CancellationDeclined, IssuanceRefused, IssuanceWithheld, OrderOpened
from shared.messaging import outbox
from shared.messaging.subscriptions import Subscription, on
from shared.pki.orderable import NotOrderable, check_names
from shared.security.proofs import ProofKeys, ProofRefused
from shared.tx import Tx

# As announced by issuance; mailing has a text for it.
NAMES_NOT_CERTIFIABLE: Final = "names-not-certifiable"


def on_csr_requested(tx: Tx, event: CSRRequested, *, keys: ProofKeys) -> None:
    """Verify both proofs, open an order per item and plan a PIN per server name; refuse items that can have no order.

    A reissue has no PINs: address and person were proved by the letters of the renewal before it (ADR 0073).

    Raises TokenRefused or ProofRefused, which hold the event: an intruder in application gets no further. After a
    restore, what was announced about the orders is put back with them, and not announced again.
    """
    renewal, orders = proofs.verified(
        tx, event.renewal_id, document=event.document, attestation=event.attestation, receipt=event.receipt, keys=keys
    )
    if store.lock_gate(tx.conn, event.renewal_id) is not None:
        raise Ignored("withheld")
    if not store.add_renewal(tx.conn, renewal, tx.now):
        raise Ignored("its orders are open already")
    announced = state_replay.opened_or_refused(tx, event.renewal_id)
    opened = [str(order.item_id) for order in orders if _open(tx, order, announce=order.item_id not in announced)]
    audit.record(
        tx,
        actor="application",
        action="orders-opened",
        subject=str(event.renewal_id),
        details={"items": opened, "ar_id": renewal.ar_id},
    )
    if announced:
        state_replay.replay(tx, event.renewal_id)


def _open(tx: Tx, order: Order, *, announce: bool) -> bool:
    """Open the order, or refuse the item for good if its names cannot be certified. Returns whether it was opened.

    The proofs are valid and the fee is paid: holding the event would help nobody, since the names will not change.
    """
    try:
        check_names(order.product, order.server_names)
    except NotOrderable as refused:
        if announce:
            _refuse(tx, order, refused)
        return False
    if not store.add_order(tx.conn, replace(order, traceparent=tx.traceparent)):
        raise ProofRefused("an item or a reference number belongs to another order")
    for server_name in () if order.reissue else order.server_names:
        pin_store.plan_pin(tx, order.item_id, server_name)
    if announce:
        outbox.add(tx, _opened(order))
    return True


def _opened(order: Order) -> OrderOpened:
    return OrderOpened(
        renewal_id=order.renewal_id,
        item_id=order.item_id,
        reference=order.reference,
        srn=order.srn,
        product=order.product,
        server_names=order.server_names,
    )


def _refuse(tx: Tx, order: Order, refused: NotOrderable) -> None:
    reason = NAMES_NOT_CERTIFIABLE
    outbox.add(tx, IssuanceRefused(renewal_id=order.renewal_id, item_id=order.item_id, reason=reason))
    audit.record(
        tx,
        actor="issuance",
        action="issuance-refused",
        subject=str(order.item_id),
        details={"reason": reason, "names": refused.reason},
    )


def on_cancellation_requested(tx: Tx, event: CancellationRequested) -> None:
    """Withhold the renewal if nothing is or will be signed; else decline the cancellation, and end the unsigned items.

    A repeated request gets the same answer. So a renewal with one issued item and another without a CSR ends, too: each
    item ends separately, with its own refund.
    """
    withheld_at = store.lock_gate(tx.conn, event.renewal_id)
    if withheld_at is None and store.has_intent(tx.conn, event.renewal_id):
        outbox.add(tx, CancellationDeclined(renewal_id=event.renewal_id))
        audit.record(tx, actor="application", action="cancellation-declined", subject=str(event.renewal_id))
        _refuse_what_is_open(tx, event)
        return
    if withheld_at is None:
        store.save_withheld(tx.conn, event.renewal_id, tx.now)
        audit.record(tx, actor="application", action="issuance-withheld", subject=str(event.renewal_id))
    outbox.add(tx, IssuanceWithheld(renewal_id=event.renewal_id))


def _refuse_what_is_open(tx: Tx, event: CancellationRequested) -> None:
    for found in store.find_orders(tx.conn, event.renewal_id):
        order = store.lock_order(tx.conn, found.item_id)
        assert order is not None
        if order.state in (OrderState.AWAITING_CSR, OrderState.CSR_RECEIVED):
            ended_intents.refuse(tx, order, "cancelled")


def subscriptions(*, keys: ProofKeys) -> tuple[Subscription, ...]:
    """Return issuance's subscriptions."""
    return (
        on(CSRRequested, partial(on_csr_requested, keys=keys)),
        on(CancellationRequested, on_cancellation_requested),
    )
