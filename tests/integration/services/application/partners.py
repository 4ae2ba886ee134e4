"""payment and issuance as honest partners: they keep their own rules, and answer when the test lets them."""

import uuid
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from shared.events.application import (
    CancellationRequested,
    CheckoutClosureRequested,
    CSRRequested,
    RefundDue,
    RenewalSubmitted,
)
from shared.events.base import Event
from shared.vocabulary import RenewalId
from tests.integration.services.application.world import Renewal, World


class Money(Enum):
    """State of the payment at the provider."""

    NONE = auto()
    OPEN = auto()
    CAPTURED = auto()
    CLOSED = auto()


class Order(Enum):
    """State of an item at issuance."""

    NONE = auto()
    OPENED = auto()
    CSR = auto()
    INTENT = auto()
    ISSUED = auto()
    REFUSED = auto()


@dataclass
class Partners:
    """The other side of one renewal: what it knows, and what it has said but is not delivered yet."""

    world: World
    renewal: Renewal
    seen: int = 0
    money: Money = Money.NONE
    orders: list[Order] = field(default_factory=list)
    tombstone: bool = False
    refunds: dict[uuid.UUID, RefundDue] = field(default_factory=dict)
    payment_says: deque[Event] = field(default_factory=deque)
    issuance_says: deque[Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.orders = [Order.NONE] * len(self.renewal.items)

    @property
    def id(self) -> RenewalId:
        return self.renewal.id

    def listen(self) -> bool:
        """Take in the next event of application's; False if there is none."""
        announced = self.world.announced(self.renewal.id)
        if self.seen == len(announced):
            return False
        self._take(announced[self.seen])
        self.seen += 1
        return True

    def _take(self, event: Event) -> None:
        match event:
            case RenewalSubmitted():
                self.money = Money.OPEN
            case CheckoutClosureRequested() if self.money is Money.OPEN:
                self.money = Money.CLOSED
                self.payment_says.append(self.world.expired(self.renewal))
            case RefundDue():
                self._refund(event)
            case CSRRequested() if not self.tombstone:
                self.orders = [Order.OPENED] * len(self.orders)
                self.issuance_says.extend(self.world.opened(self.renewal, n) for n in range(len(self.orders)))
            case CancellationRequested():
                self._close_gate()

    def _refund(self, due: RefundDue) -> None:
        assert self.money is Money.CAPTURED, "a refund of money that was never captured"
        assert due.refund_id not in self.refunds, "a refund asked for twice"
        self.refunds[due.refund_id] = due
        self.payment_says.append(self.world.refunded(self.renewal, due.refund_id, due.amount_minor))

    def _close_gate(self) -> None:
        if any(order in (Order.INTENT, Order.ISSUED) for order in self.orders):
            self.issuance_says.append(self.world.declined(self.renewal))
        else:
            self.tombstone = True
            self.issuance_says.append(self.world.withheld(self.renewal))

    def pay(self) -> None:
        """Pay, if the checkout is still open."""
        if self.money is Money.OPEN:
            self.money = Money.CAPTURED
            self.payment_says.append(self.world.captured(self.renewal))

    def work(self, position: int) -> None:
        """Take the item's order one step further, unless the issuance lock is closed."""
        match self.orders[position]:
            case Order.OPENED if not self.tombstone:
                self.orders[position] = Order.CSR
                self.issuance_says.append(self.world.csr_received(self.renewal, position))
            case Order.CSR if not self.tombstone:
                self.orders[position] = Order.INTENT
            case Order.INTENT:
                self.orders[position] = Order.ISSUED
                self.issuance_says.append(self.world.issued(self.renewal, position))

    def delay(self, position: int, reason: str) -> None:
        """Have the item's certificate wait, if there is a CSR for it."""
        if self.orders[position] is Order.CSR and not self.tombstone:
            self.issuance_says.append(self.world.delayed(self.renewal, reason, position=position))

    def refuse(self, position: int) -> None:
        """Refuse the item."""
        if self.orders[position] in (Order.OPENED, Order.CSR) and not self.tombstone:
            self.orders[position] = Order.REFUSED
            self.issuance_says.append(self.world.refused(self.renewal, position))

    def deliver(self, queue: deque[Event]) -> bool:
        """Deliver the oldest event of a topic; False if there is none."""
        if not queue:
            return False
        self.world.apply(queue.popleft())
        return True

    def finish(self) -> None:
        """Deliver all events until none is left."""
        while self.listen() or self.deliver(self.payment_says) or self.deliver(self.issuance_says):
            pass
