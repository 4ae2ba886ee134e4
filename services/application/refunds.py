"""Refunds: once for an item or for the rest of a renewal, and never more than was captured in all."""

import uuid
from typing import Final

from services.application import store
from services.application.domain import Item, Refund, Renewal
from services.application.refusals import RefundNotFound, WrongAmount
from shared import audit
from shared.effect_ids import effect_id
from shared.events.application import RefundDue
from shared.events.payment import PaymentRefunded
from shared.messaging import outbox
from shared.tx import Tx
from shared.vocabulary import ItemId

# Reason of a refund; part of its id.
REFUSED: Final = "refused"
CANCELLED: Final = "cancelled"


def refund_item(tx: Tx, renewal: Renewal, item: Item, *, cause: str) -> None:
    """Refund the fee of a refused item; `cause` is issuance's reason."""
    _refund(tx, renewal, item, min(item.amount_minor, _left(tx, renewal)), REFUSED, cause)


def refund_rest(tx: Tx, renewal: Renewal) -> None:
    """Refund what was captured and is not refunded yet."""
    _refund(tx, renewal, None, _left(tx, renewal), CANCELLED)


def find_or_recover(tx: Tx, renewal: Renewal, event: PaymentRefunded) -> Refund:
    """Return the refund that the event is about, stored again if a restored database has lost it."""
    refund = next((r for r in store.find_refunds(tx.conn, renewal.id) if r.id == event.refund_id), None)
    return _forgotten(tx, renewal, event) if refund is None else refund


def _forgotten(tx: Tx, renewal: Renewal, event: PaymentRefunded) -> Refund:
    """Record a refund that a restored database has lost, recognised by its derived id. Raises RefundNotFound."""
    about: dict[uuid.UUID, ItemId | None] = {
        _refund_id(renewal, item.id, REFUSED): item.id for item in store.find_items(tx.conn, renewal.id)
    }
    about[_refund_id(renewal, None, CANCELLED)] = None
    if event.refund_id not in about:
        raise RefundNotFound(f"{event.refund_id}")
    refund = Refund(id=event.refund_id, item_id=about[event.refund_id], amount_minor=event.amount_minor)
    if event.amount_minor > _left(tx, renewal) or not store.add_refund(tx.conn, refund, renewal.id, event.refunded_at):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    audit.record(
        tx,
        actor="application",
        action="refund-recovered",
        subject=str(renewal.id),
        details={"refund_id": str(refund.id), "amount_minor": refund.amount_minor},
    )
    return refund


def _refund_id(renewal: Renewal, item_id: ItemId | None, reason: str) -> uuid.UUID:
    return effect_id("refund", renewal.id, item_id, reason)


def _left(tx: Tx, renewal: Renewal) -> int:
    return (renewal.captured_minor or 0) - store.refunds_total(tx.conn, renewal.id)


def _refund(tx: Tx, renewal: Renewal, item: Item | None, amount: int, reason: str, cause: str | None = None) -> None:
    """Record and announce a refund; the unique key prevents a second one, however often events are delivered."""
    item_id = None if item is None else item.id
    refund = Refund(id=_refund_id(renewal, item_id, reason), item_id=item_id, amount_minor=amount)
    if amount <= 0 or not store.add_refund(tx.conn, refund, renewal.id, tx.now):
        return
    outbox.add(
        tx,
        RefundDue(
            renewal_id=renewal.id,
            refund_id=refund.id,
            item_id=refund.item_id,
            amount_minor=amount,
            currency=renewal.currency,
            reason=reason,
            cause=cause,
        ),
    )
    audit.record(
        tx,
        actor="application",
        action="refund-due",
        subject=str(renewal.id),
        details={"refund_id": str(refund.id), "amount_minor": amount, "reason": reason},
    )
