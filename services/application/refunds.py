"""Money that goes back: once for an item or for the rest of a renewal, and never more than was captured in all."""

from services.application import store
from services.application.course import lock_known, note
from services.application.domain import Item, Refund, Renewal, Step
from services.application.refusals import RefundNotFound, WrongAmount
from shared import audit, outbox
from shared.errors import Ignored
from shared.events.application import RefundDue
from shared.events.payment import PaymentRefunded
from shared.tx import Tx


def refund_item(tx: Tx, renewal: Renewal, item: Item, *, cause: str) -> None:
    """Give back what one refused item cost; `cause` is why issuance refused it."""
    _refund(tx, renewal, item, min(item.amount_minor, _left(tx, renewal)), "refused", cause)


def refund_rest(tx: Tx, renewal: Renewal) -> None:
    """Give back what was captured, but for what went back already."""
    _refund(tx, renewal, None, _left(tx, renewal), "cancelled")


def take_refund(event: PaymentRefunded, tx: Tx) -> None:
    """The money has gone back, in whatever state the renewal is."""
    renewal = lock_known(tx, event)
    refund = next((r for r in store.find_refunds(tx.conn, renewal.id) if r.id == event.refund_id), None)
    if refund is None:
        raise RefundNotFound(f"{event.refund_id}")
    if (event.amount_minor, event.currency) != (refund.amount_minor, renewal.currency):
        raise WrongAmount(f"{event.amount_minor} {event.currency}")
    if not store.settle_refund(tx.conn, refund.id, event.refunded_at):
        raise Ignored("refund is settled")
    note(tx, renewal.id, Step.REFUNDED, refund.item_id, str(event.amount_minor))


def _left(tx: Tx, renewal: Renewal) -> int:
    return (renewal.captured_minor or 0) - store.refunds_total(tx.conn, renewal.id)


def _refund(tx: Tx, renewal: Renewal, item: Item | None, amount: int, reason: str, cause: str | None = None) -> None:
    """Record and announce it; the unique key says no a second time, whatever is delivered how often."""
    refund = Refund(id=tx.new_id(), item_id=None if item is None else item.id, amount_minor=amount)
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
