"""Events of payment."""

import uuid
from dataclasses import dataclass
from typing import ClassVar

from shared.events.base import RenewalEvent, Topic
from shared.vocabulary import UTCTime


@dataclass(frozen=True, kw_only=True)
class PaymentCaptured(RenewalEvent):
    """The payment was captured. `receipt` is payment's signed receipt, which issuance verifies."""

    TYPE: ClassVar[str] = "hk.ecert.payment.payment-captured.v1"
    TOPIC: ClassVar[Topic] = Topic.PAYMENT

    payment_id: uuid.UUID
    amount_minor: int
    currency: str
    captured_at: UTCTime
    receipt: str


@dataclass(frozen=True, kw_only=True)
class PaymentDeclined(RenewalEvent):
    """An attempt to pay was declined; the AR may try again until the payment expires."""

    TYPE: ClassVar[str] = "hk.ecert.payment.payment-declined.v1"
    TOPIC: ClassVar[Topic] = Topic.PAYMENT

    payment_id: uuid.UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentExpired(RenewalEvent):
    """The checkout is closed and the provider has confirmed that nothing was captured."""

    TYPE: ClassVar[str] = "hk.ecert.payment.payment-expired.v1"
    TOPIC: ClassVar[Topic] = Topic.PAYMENT

    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded(RenewalEvent):
    """A refund that application requested was made."""

    TYPE: ClassVar[str] = "hk.ecert.payment.payment-refunded.v1"
    TOPIC: ClassVar[Topic] = Topic.PAYMENT

    refund_id: uuid.UUID
    amount_minor: int
    currency: str
    refunded_at: UTCTime
