"""PIN reissue for a PIN Envelope that was lost, returned or seen by others: voids its PIN, and has another one made."""

import uuid
from enum import StrEnum

from services.issuance import pin_store, store
from services.issuance.domain import Order
from services.issuance.refusals import OrderNotFound
from shared import audit
from shared.db import Conn
from shared.errors import Refused
from shared.events.issuance import CSRReceived, PINReissued, PINVoided
from shared.messaging import outbox
from shared.pki.names import NameRefused, server_name
from shared.tx import Tx
from shared.validation import texts
from shared.vocabulary import ItemId


class VoidReason(StrEnum):
    """Reasons for voiding a PIN."""

    LOST = "lost"
    RETURNED = "returned"
    DAMAGED = "damaged"
    EXPOSED = "exposed"
    LOCKED = "locked"


class OtherEnvelope(Refused):
    """The server name's PIN is in another envelope by now."""

    reason = "other-envelope"


def reissue_pin(
    tx: Tx,
    order_name: str,
    name: str,
    reason: VoidReason,
    actor: str,
    *,
    of: uuid.UUID | None = None,
    note: str | None = None,
) -> uuid.UUID:
    """Void a server name's PIN and plan another one. Returns the id of its envelope.

    The order is named by its reference number or its item id. Raises OrderNotFound, InvalidTransition once the order
    awaits no CSR any more, or OtherEnvelope if the PIN is not the one in the envelope `of`.
    """
    order = lock_order(tx, order_name)
    return replace_pin(tx, order, own_name(order, name), reason, actor, of=of, note=note)


def replace_pin(
    tx: Tx,
    order: Order,
    name: str,
    reason: VoidReason,
    actor: str,
    *,
    of: uuid.UUID | None = None,
    note: str | None = None,
) -> uuid.UUID:
    """Void the PIN of a server name of this locked order and plan another one. Returns the id of its envelope.

    Raises InvalidTransition once the order awaits no CSR any more, or OtherEnvelope.
    """
    order.after(CSRReceived)  # only while a CSR is awaited
    voided = pin_store.void_pin(tx.conn, order.item_id, name)
    assert voided is not None, "a renewal's order that awaits its CSR has a PIN for each name"
    if of not in (None, voided):
        raise OtherEnvelope(f"the PIN of {name} is in {voided}")
    envelope_id = pin_store.plan_pin(tx, order.item_id, name)
    outbox.add(
        tx,
        PINVoided(
            renewal_id=order.renewal_id,
            item_id=order.item_id,
            envelope_id=voided,
            server_name=name,
            reason=reason.value,
        ),
    )
    outbox.add(
        tx,
        PINReissued(
            renewal_id=order.renewal_id,
            item_id=order.item_id,
            envelope_id=envelope_id,
            server_name=name,
            replaces=voided,
        ),
    )
    audit.record(
        tx,
        actor=actor,
        action="pin-reissued",
        subject=str(order.item_id),
        details={
            "server_name": name,
            "envelope_id": str(envelope_id),
            "replaces": str(voided),
            "reason": reason.value,
            "note": note,
        },
    )
    return envelope_id


def lock_order(tx: Tx, order_name: str) -> Order:
    """Return the order of this reference number or item id, locked. Raises OrderNotFound."""
    found = _find(tx.conn, order_name)
    if found is None:
        raise OrderNotFound("there is no such order")
    store.lock_gate(tx.conn, found.renewal_id)
    order = store.lock_order(tx.conn, found.item_id)
    assert order is not None
    return order


def own_name(order: Order, text: str) -> str:
    """Return the server name as the order has it. Raises OrderNotFound."""
    try:
        name = server_name(text)
    except NameRefused as refused:
        raise OrderNotFound(f"the order has no such server name: {refused}") from refused
    if name not in order.server_names or order.reissue:
        raise OrderNotFound("the order has no PIN Envelope for this server name")
    return name


def _find(conn: Conn, order_name: str) -> Order | None:
    try:
        return store.find_order(conn, ItemId(uuid.UUID(texts.compact(order_name))))
    except ValueError:
        return store.find_order_by_reference(conn, texts.reference(order_name))
