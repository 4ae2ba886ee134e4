"""What a payment is and how it moves, and the port to the payment provider."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType, Protocol

from services.payment.refusals import AlreadyPaid, NoSuchTransition, PaymentClosed, PaymentHeld
from shared.events.base import ARId, ItemId, RenewalId, SubscriberId

PaymentId = NewType("PaymentId", uuid.UUID)
CheckoutId = NewType("CheckoutId", uuid.UUID)
RefundId = NewType("RefundId", uuid.UUID)


class PaymentState(StrEnum):
    """Where a payment stands."""

    AWAITING_CHECKOUT = "awaiting-checkout"
    OPEN = "open"
    CLOSING = "closing"
    CAPTURED = "captured"
    EXPIRED = "expired"
    HELD = "held"


class Move(StrEnum):
    """What can happen to a payment."""

    OPENED = "checkout opened at the provider"
    ENDED = "checkout ended at the provider, unpaid"
    CLOSURE = "no money is wanted any more"
    CAPTURE = "money captured"
    EXPIRY = "the provider confirmed that nothing was captured"
    HOLD = "what the provider says does not fit; a person must look"
    RECHECK = "a person has looked; ask the provider again"


_S: Final = PaymentState
TRANSITIONS: Final[Mapping[tuple[PaymentState, Move], PaymentState]] = {
    (_S.AWAITING_CHECKOUT, Move.OPENED): _S.OPEN,
    (_S.AWAITING_CHECKOUT, Move.CLOSURE): _S.CLOSING,
    (_S.AWAITING_CHECKOUT, Move.CAPTURE): _S.CAPTURED,
    (_S.AWAITING_CHECKOUT, Move.ENDED): _S.AWAITING_CHECKOUT,
    (_S.AWAITING_CHECKOUT, Move.HOLD): _S.HELD,
    (_S.OPEN, Move.ENDED): _S.AWAITING_CHECKOUT,
    (_S.OPEN, Move.CLOSURE): _S.CLOSING,
    (_S.OPEN, Move.CAPTURE): _S.CAPTURED,
    (_S.OPEN, Move.HOLD): _S.HELD,
    (_S.CLOSING, Move.CAPTURE): _S.CAPTURED,
    (_S.CLOSING, Move.EXPIRY): _S.EXPIRED,
    (_S.CLOSING, Move.HOLD): _S.HELD,
    (_S.HELD, Move.CLOSURE): _S.CLOSING,
    (_S.HELD, Move.RECHECK): _S.OPEN,
}


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The money for one renewal. Amount and currency are what the AR signed for."""

    id: PaymentId
    renewal_id: RenewalId
    reference: str
    subscriber_id: SubscriberId
    ar_id: ARId
    payer_name: str
    amount_minor: int
    currency: str
    document_sha256: str
    pay_before: datetime
    state: PaymentState
    closing_reason: str | None = None
    captured_at: datetime | None = None
    provider_reference: str | None = None
    receipt: str | None = None
    polls: int = 0
    due_at: datetime | None = None
    leased_until: datetime | None = None
    traceparent: str | None = None

    @property
    def description(self) -> str:
        """What the payer reads at the provider's page."""
        return f"e-Cert (Server) renewal {self.reference}"

    def after(self, move: Move) -> "Payment":
        """Return the payment after a move. Raises NoSuchTransition."""
        if (state := TRANSITIONS.get((self.state, move))) is None:
            raise NoSuchTransition(f"{self.state}: {move}")
        if move is Move.RECHECK and self.closing_reason is not None:
            state = PaymentState.CLOSING
        return replace(self, state=state)

    def require_payable(self, now: datetime) -> None:
        """Raises the reason why no checkout may be opened."""
        match self.state:
            case PaymentState.CAPTURED:
                raise AlreadyPaid
            case PaymentState.HELD:
                raise PaymentHeld
            case PaymentState.CLOSING | PaymentState.EXPIRED:
                raise PaymentClosed
        if now >= self.pay_before:
            raise PaymentClosed


class CheckoutState(StrEnum):
    """INTENDED: perhaps known to the provider. At most one checkout of a payment is not ENDED."""

    INTENDED = "intended"
    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """One session at the provider; its id is our reference there. What is asked for never changes between tries."""

    id: CheckoutId
    payment_id: PaymentId
    state: CheckoutState
    amount_minor: int
    currency: str
    description: str
    return_url: str
    expires_at: datetime
    url: str | None = None


class SessionStatus(StrEnum):
    """Where a session stands at the provider."""

    OPEN = "open"
    PAID = "paid"
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    # A state that this code does not know: no outage, so waiting does not help; a person must look.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Decline:
    """One attempt to pay that the payer's bank declined."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """A checkout session as the provider tells it."""

    id: str
    reference: str
    status: SessionStatus
    amount_minor: int
    currency: str
    checkout_url: str
    captured_at: datetime | None
    captured_minor: int
    declines: tuple[Decline, ...]

    def fits(self, checkout: Checkout) -> bool:
        """It is for the reference and the money of our own row; a capture took exactly that."""
        captured = self.amount_minor if self.status is SessionStatus.CAPTURED else 0
        return (self.reference, self.amount_minor, self.currency, self.captured_minor) == (
            str(checkout.id),
            checkout.amount_minor,
            checkout.currency,
            captured,
        )


@dataclass(frozen=True, kw_only=True)
class Captured:
    """The provider has taken the money."""

    session: Session
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The session stands open for the payer."""

    session: Session


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The session can no longer be paid and never was; or there is none and can be none."""

    session: Session | None


@dataclass(frozen=True, kw_only=True)
class Unopened:
    """The provider knows no session yet."""


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """What the provider says does not fit our own row."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """No answer; nothing is known."""

    why: str


Outcome = Captured | Waiting | Ended | Unopened | Unfit | Unreachable


class RefundState(StrEnum):
    """SENDING: counted against the captured amount, perhaps made at the provider."""

    DUE = "due"
    SENDING = "sending"
    REFUNDED = "refunded"
    HELD = "held"


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money that goes back, asked for by application under its own id."""

    id: RefundId
    payment_id: PaymentId
    renewal_id: RenewalId
    item_id: ItemId | None
    amount_minor: int
    currency: str
    reason: str
    state: RefundState
    tries: int = 0
    provider_reference: str | None = None
    refunded_at: datetime | None = None
    traceparent: str | None = None
    # The id by which a restored application asked for this same refund again; it is answered under that id.
    asked_as: uuid.UUID | None = None


class RefundStatus(StrEnum):
    """State of a refund at the provider. UNKNOWN: a state that this code does not know."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class ProviderRefund:
    """A refund as the provider tells it; `refunded_at` only of one that has succeeded."""

    id: str
    reference: str
    amount_minor: int
    currency: str
    status: RefundStatus
    refunded_at: datetime | None

    def fits(self, refund: Refund) -> bool:
        """It is for the reference and the money of our own row."""
        return (self.reference, self.amount_minor, self.currency) == (
            str(refund.id),
            refund.amount_minor,
            refund.currency,
        )


class Provider(Protocol):
    """The payment provider. Every method may be called again; each raises ProviderRefused or ProviderUnavailable."""

    def open_checkout(self, checkout: Checkout) -> Session:
        """Open the session; the same one for the same checkout."""

    def find_checkout(self, checkout: Checkout) -> Session | None:
        """Return the session under our reference, if the provider knows one."""

    def close_checkout(self, session: Session) -> Session:
        """Close it and say how it stands: cancelled, or paid if that came first."""

    def capture(self, session: Session, payment: Payment) -> Session:
        """Take the money of a paid session; a session captured already is a success."""

    def refund(self, refund: Refund, session_id: str) -> ProviderRefund:
        """Pay back part of a captured session, once per refund id; the refund made before, if the provider knows it."""
