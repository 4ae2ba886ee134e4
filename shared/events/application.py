"""What application announces: the course of each renewal."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from shared.events.base import ARId, Event, ItemId, Language, SubscriberId, Topic, UTCTime


@dataclass(frozen=True, kw_only=True)
class ItemFee:
    """What one item of a renewal costs, in minor units of the renewal's currency."""

    item_id: ItemId
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class RenewalSubmitted(Event):
    """The AR submitted the signed application; it now waits for its payment.

    `document` and `attestation` are as in CSRRequested: a restored application rebuilds the renewal from them.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-submitted.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reference: str
    subscriber_id: SubscriberId
    ar_id: ARId
    payer_name: str
    amount_minor: int
    currency: str
    items: tuple[ItemFee, ...]
    document_sha256: str
    pay_before: UTCTime
    document: str | None = None
    attestation: str | None = None


@dataclass(frozen=True, kw_only=True)
class CSRRequested(Event):
    """The renewal is paid: mailing asks the AR for CSRs, issuance opens the orders.

    `document` is the signed document, byte for byte (canonical JSON is ASCII-safe text in UTF-8).
    Readers take nothing on application's word: they verify identity's `attestation` (which binds the
    document's digest and says who the AR is and where they live) and payment's `receipt`.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.csr-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    language: Language
    document: str
    attestation: str
    receipt: str


class ClosureReason(StrEnum):
    """Why a checkout is closed."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, kw_only=True)
class CheckoutClosureRequested(Event):
    """No money is wanted any more; payment answers PaymentExpired, or PaymentCaptured if it was too late."""

    TYPE: ClassVar[str] = "hk.ecert.application.checkout-closure-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: ClosureReason


@dataclass(frozen=True, kw_only=True)
class CancellationRequested(Event):
    """The renewal shall end, for this reason; issuance answers IssuanceWithheld or CancellationDeclined."""

    TYPE: ClassVar[str] = "hk.ecert.application.cancellation-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class RenewalCancelled(Event):
    """The renewal ended without any certificate; what goes back of its fee was announced before (RefundDue).

    `document` and `attestation` are as in CSRRequested: of a renewal that was never paid, they alone say whom to tell.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-cancelled.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: str
    document: str | None = None
    attestation: str | None = None


@dataclass(frozen=True, kw_only=True)
class RefundDue(Event):
    """Captured money goes back: the whole renewal (`item_id` None) or one refused item, with issuance's `cause`."""

    TYPE: ClassVar[str] = "hk.ecert.application.refund-due.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    refund_id: uuid.UUID
    item_id: ItemId | None
    amount_minor: int
    currency: str
    reason: str
    cause: str | None = None


@dataclass(frozen=True, kw_only=True)
class RenewalCompleted(Event):
    """Every item has ended and at least one certificate was issued."""

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-completed.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    issued: tuple[ItemId, ...]
    refused: tuple[ItemId, ...]
