"""New PIN Envelopes ordered by the AR: for the order that this AR signed, within a limit, the earlier PIN void at once.

The limit counts every PIN that a server name has had, so that locking PINs and ordering new ones gives only a few more
attempts. A letter that may still be in the post is not lost yet: it is replaced only after some days. On every other
reason a PIN is replaced at once: waiting would not help, or somebody else may have the PIN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.issuance import pin_reissue, pin_store
from services.issuance.csr_intake import own_order
from services.issuance.domain import PIN, Order
from services.issuance.pin_reissue import VoidReason
from services.issuance.pins import pins
from services.issuance.refusals import PINNotLocked, PINNotReady, PINsUsedUp, PINTooRecent
from shared.events.issuance import CSRReceived
from shared.tx import Tx
from shared.vocabulary import ItemId
from shared.web.auth import Caller


@dataclass(frozen=True, kw_only=True)
class PINLimits:
    """Limits of an AR's orders: new PINs of one server name, and the time before a letter counts as lost."""

    new_pins: int
    post: timedelta

    def left(self, pin: PIN) -> int:
        """Return how many new PIN Envelopes the AR may still order for this server name."""
        return max(0, self.new_pins + 1 - pin.made)

    def lost_from(self, pin: PIN) -> datetime:
        """Return the time from which this PIN's letter may be called lost."""
        return pin.planned_at + self.post


@dataclass(frozen=True, kw_only=True)
class OrderPINs:
    """An AR's order of new PIN Envelopes, for one reason."""

    item_id: ItemId
    server_names: tuple[str, ...]
    reason: VoidReason


def order_pins(tx: Tx, command: OrderPINs, caller: Caller, limits: PINLimits) -> Order:
    """Void the PINs of these server names and have others made and posted: all of them or none. Returns the order.

    Raises OrderNotFound, InvalidTransition once the order awaits no CSR, PINNotReady while a PIN is being made,
    PINsUsedUp, PINNotLocked, or PINTooRecent with the time from which it will be possible.
    """
    own_order(tx.conn, command.item_id, caller)
    order = pin_reissue.lock_order(tx, str(command.item_id))
    names = sorted({pin_reissue.own_name(order, name) for name in command.server_names})
    order.after(CSRReceived)  # only while a CSR is awaited
    found = {pin.server_name: pin for pin in pin_store.find_pins(tx.conn, [order.item_id])}
    _check([found[name] for name in names], command.reason, limits, tx.now)
    for name in names:
        pin_reissue.replace_pin(tx, order, name, command.reason, caller.ar_id)
    return order


def _check(chosen: Sequence[PIN], reason: VoidReason, limits: PINLimits, now: datetime) -> None:
    def names(wrong: Callable[[PIN], bool]) -> tuple[str, ...]:
        return tuple(pin.server_name for pin in chosen if wrong(pin))

    if names(lambda pin: pin.state != "sealed"):
        raise PINNotReady("a PIN Envelope is being made")
    if used_up := names(lambda pin: not limits.left(pin)):
        raise PINsUsedUp(used_up)
    if reason is VoidReason.LOCKED and (usable := names(lambda pin: pin.tries < pins.MAX_ATTEMPTS)):
        raise PINNotLocked(usable)
    if reason is VoidReason.LOST and (recent := names(lambda pin: limits.lost_from(pin) > now)):
        raise PINTooRecent({pin.server_name: limits.lost_from(pin) for pin in chosen if pin.server_name in recent})
