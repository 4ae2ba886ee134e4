"""Payments: their states and transitions, and the port to the payment provider."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType, Protocol

from services.payment.refusals import AlreadyPaid, NoSuchTransition, PaymentClosed, PaymentHeld
from shared.vocabulary import ARId, ItemId, RenewalId, SubscriberId

PaymentId = NewType("PaymentId", uuid.UUID)
CheckoutId = NewType("CheckoutId", uuid.UUID)
RefundId = NewType("RefundId", uuid.UUID)


class PaymentState(StrEnum):
    """States of a payment."""

    AWAITING_CHECKOUT = "awaiting-checkout"
    OPEN = "open"
    CLOSING = "closing"
    CAPTURED = "captured"
    EXPIRED = "expired"
    HELD = "held"


class Move(StrEnum):
    """Causes of a payment's transitions."""

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
    """The payment of one renewal. Amount and currency are those of the signed document."""

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
        """The text that the payer reads on the provider's page."""
        return f"e-Cert (Server) renewal {self.reference}"

    def after(self, move: Move) -> "Payment":
        """Return the payment after a transition. Raises NoSuchTransition."""
        if (state := TRANSITIONS.get((self.state, move))) is None:
            raise NoSuchTransition(f"{self.state}: {move}")
        if move is Move.RECHECK and self.closing_reason is not None:
            state = PaymentState.CLOSING
        return replace(self, state=state)

    def require_payable(self, now: datetime) -> None:
        """Raise the reason why no checkout may be opened, if there is one."""
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
    """States of a checkout. INTENDED: the provider may know it. At most one checkout of a payment is not ENDED."""

    INTENDED = "intended"
    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A session at the provider; its id is our reference there. The request never changes between attempts."""

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
    """States of a session at the provider."""

    OPEN = "open"
    PAID = "paid"
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    # A state that this code does not know: it is no outage, so the payment is held for a person.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Decline:
    """An attempt to pay that the payer's bank declined."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """A checkout session as the provider reports it."""

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
        """Return whether reference, amount and currency match our checkout; a capture must have taken exactly the
        amount.
        """
        captured = self.amount_minor if self.status is SessionStatus.CAPTURED else 0
        return (self.reference, self.amount_minor, self.currency, self.captured_minor) == (
            str(checkout.id),
            checkout.amount_minor,
            checkout.currency,
            captured,
        )


@dataclass(frozen=True, kw_only=True)
class Captured:
    """The provider has captured the money."""

    session: Session
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The session is open for the payer."""

    session: Session


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The session was never paid and can no longer be paid; or no session exists or can exist."""

    session: Session | None


@dataclass(frozen=True, kw_only=True)
class Unopened:
    """The provider knows no session yet."""


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """The provider's session does not match our checkout."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """The provider did not answer: the outcome is unknown."""

    why: str


Outcome = Captured | Waiting | Ended | Unopened | Unfit | Unreachable


class RefundState(StrEnum):
    """States of a refund. SENDING: counted against the captured amount, perhaps made at the provider."""

    DUE = "due"
    SENDING = "sending"
    REFUNDED = "refunded"
    HELD = "held"


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money to pay back, requested by application under an id of its own."""

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
    # The id under which a restored application requested this refund again; the answer carries it.
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
    """A refund as the provider reports it; `refunded_at` is set once it has succeeded."""

    id: str
    reference: str
    amount_minor: int
    currency: str
    status: RefundStatus
    refunded_at: datetime | None

    def fits(self, refund: Refund) -> bool:
        """Return whether reference, amount and currency match our refund."""
        return (self.reference, self.amount_minor, self.currency) == (
            str(refund.id),
            refund.amount_minor,
            refund.currency,
        )


class Provider(Protocol):
    """Port to the payment provider. Every method is idempotent, and raises ProviderRefused or ProviderUnavailable."""

    def open_checkout(self, checkout: Checkout) -> Session:
        """Open the session; returns the same session for the same checkout."""

    def find_checkout(self, checkout: Checkout) -> Session | None:
        """Return the session under our reference, if the provider knows one."""

    def close_checkout(self, session: Session) -> Session:
        """Close the session. Returns it cancelled, or paid if that came first."""

    def capture(self, session: Session, payment: Payment) -> Session:
        """Capture the money of a paid session; a session that is captured already is a success."""

    def refund(self, refund: Refund, session_id: str) -> ProviderRefund:
        """Refund part of a captured session, once for each refund id.

        Returns the earlier refund if the provider knows one.
        """
