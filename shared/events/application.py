"""Events of application: the lifecycle of each renewal."""

import uuid
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.events.base import RenewalEvent, Topic
from shared.vocabulary import ARId, ItemId, Language, SubscriberId, UTCTime


@dataclass(frozen=True, kw_only=True)
class ItemFee:
    """The fee of one item, in minor units of the renewal's currency."""

    item_id: ItemId
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class RenewalSubmitted(RenewalEvent):
    """The AR submitted the signed application, which awaits its payment.

    Nothing is to be paid for a reissue: its amount is 0, and CSRRequested follows at once.
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
class CSRRequested(RenewalEvent):
    """The renewal is paid: mailing asks the AR for CSRs, issuance opens the orders.

    `document` is the signed document, byte for byte (canonical JSON is ASCII-safe text in UTF-8). Readers do not trust
    application: they verify identity's `attestation` (which binds the document's digest, and names the AR with their
    address) and payment's `receipt`; for a reissue, that is application's entitlement, a token of another kind: nothing
    is to be paid for this document.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.csr-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    language: Language
    document: str
    attestation: str
    receipt: str


class ClosureReason(StrEnum):
    """Reasons for closing a checkout."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, kw_only=True)
class CheckoutClosureRequested(RenewalEvent):
    """No payment is accepted any more; payment answers PaymentExpired, or PaymentCaptured if the capture came first."""

    TYPE: ClassVar[str] = "hk.ecert.application.checkout-closure-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: ClosureReason


@dataclass(frozen=True, kw_only=True)
class CancellationRequested(RenewalEvent):
    """The renewal is to end for this reason; issuance answers IssuanceWithheld or CancellationDeclined."""

    TYPE: ClassVar[str] = "hk.ecert.application.cancellation-requested.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class RenewalCancelled(RenewalEvent):
    """The renewal ended without any certificate; its refunds were announced before (RefundDue).

    `document` and `attestation` are as in CSRRequested: for a renewal that was never paid, only they name the
    recipient.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-cancelled.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    reason: str
    document: str | None = None
    attestation: str | None = None


@dataclass(frozen=True, kw_only=True)
class NotifiedObstacle:
    """An obstacle as its AR is notified of it: that of IssuanceDelayed, without the CAA record, a stranger's text."""

    server_name: str
    kind: str
    reason: Annotated[str, Meta(description="Why, as a short word; a reader takes words it does not know")]


@dataclass(frozen=True, kw_only=True)
class CertificateDelayed(RenewalEvent):
    """A certificate waits for what its AR can do; `obstacles` are all there are, at least one of them is new.

    Issuance looks again by itself. The renewal waits `until` this time, and what has no certificate then is refunded.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.certificate-delayed.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    item_id: ItemId
    obstacles: tuple[NotifiedObstacle, ...]
    until: UTCTime


@dataclass(frozen=True, kw_only=True)
class RenewalAtRisk(RenewalEvent):
    """The renewal is expected to end too late for these `items`: it lacks working days. Announced once at most.

    `slack_days` are those of the item that lacks the most, below zero.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-at-risk.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    items: tuple[ItemId, ...]
    slack_days: int


@dataclass(frozen=True, kw_only=True)
class RenewalReminderDue(RenewalEvent):
    """The paid period of the item ends in `days_before` days or less, and no renewal of it is under way.

    `serial` is of the present certificate, which need not be the item's. mailing knows the AR from the renewal.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-reminder-due.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    item_id: ItemId
    srn: str
    serial: str
    paid_until: date
    days_before: int
    latest_safe_start: date


@dataclass(frozen=True, kw_only=True)
class ReissueReminderDue(RenewalEvent):
    """The present certificate ends in `days_before` days or less, before the paid period, and no reissue is under way.

    `serial` and `certificate_until`, its last day in Hong Kong, are of that certificate, which need not be the item's.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.reissue-reminder-due.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    item_id: ItemId
    srn: str
    serial: str
    certificate_until: date
    paid_until: date
    days_before: int


@dataclass(frozen=True, kw_only=True)
class RefundDue(RenewalEvent):
    """Captured money is to be refunded: for the whole renewal (`item_id` None), or for one refused item, with its
    `cause`.
    """

    TYPE: ClassVar[str] = "hk.ecert.application.refund-due.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    refund_id: uuid.UUID
    item_id: ItemId | None
    amount_minor: int
    currency: str
    reason: str
    cause: str | None = None


@dataclass(frozen=True, kw_only=True)
class RenewalCompleted(RenewalEvent):
    """Every item has ended and at least one certificate was issued."""

    TYPE: ClassVar[str] = "hk.ecert.application.renewal-completed.v1"
    TOPIC: ClassVar[Topic] = Topic.APPLICATION

    issued: tuple[ItemId, ...]
    refused: tuple[ItemId, ...]
