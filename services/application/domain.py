"""Renewals, their items and their states: what may follow what, and every reason to refuse."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.errors import Ignored, Refused
from shared.events.base import ARId, Event, ItemId, Language, Product, RenewalId, SubscriberId
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CSRReceived,
    IssuanceRefused,
    IssuanceWithheld,
    OrderOpened,
)
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired, PaymentRefunded

CURRENCY: Final = "HKD"


class Submit:
    """The AR submits the signed document."""


class Cancel:
    """The AR cancels."""


class PaymentDeadline:
    """Nobody has paid in time."""


class CSRDeadline:
    """Items have waited for their CSRs for too long."""


class Hold:
    """The AR of record was replaced since the submission."""


class Release:
    """An operator lets a renewal on hold go on."""


class ItemsEnded:
    """Every item has ended and at least one certificate was issued."""


class AllRefused:
    """Every item has ended and none got a certificate."""


Trigger = type[Event] | type[object]


class RenewalState(StrEnum):
    """Where a renewal stands."""

    DRAFT = "draft"
    AWAITING_PAYMENT = "awaiting-payment"
    CLOSING_CHECKOUT = "closing-checkout"
    EXPIRING = "expiring"
    AWAITING_CSRS = "awaiting-csrs"
    ON_HOLD = "on-hold"
    WITHHOLDING = "withholding"
    COMPLETED = "completed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Nothing more will be issued."""
        return self in ENDED


ENDED: Final = frozenset({RenewalState.COMPLETED, RenewalState.REFUSED, RenewalState.CANCELLED, RenewalState.EXPIRED})

_S = RenewalState
TRANSITIONS: Final[Mapping[tuple[RenewalState, Trigger], RenewalState]] = {
    (_S.DRAFT, Submit): _S.AWAITING_PAYMENT,
    (_S.DRAFT, Cancel): _S.CANCELLED,
    (_S.AWAITING_PAYMENT, PaymentDeclined): _S.AWAITING_PAYMENT,
    (_S.AWAITING_PAYMENT, PaymentCaptured): _S.AWAITING_CSRS,
    (_S.AWAITING_PAYMENT, Cancel): _S.CLOSING_CHECKOUT,
    (_S.AWAITING_PAYMENT, PaymentDeadline): _S.EXPIRING,
    # Cancelled, but the money came all the same: it goes back once issuance has withheld.
    (_S.CLOSING_CHECKOUT, PaymentCaptured): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentExpired): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentDeclined): _S.CLOSING_CHECKOUT,
    # Paid in the last moment: the renewal goes on.
    (_S.EXPIRING, PaymentCaptured): _S.AWAITING_CSRS,
    (_S.EXPIRING, PaymentExpired): _S.EXPIRED,
    (_S.EXPIRING, PaymentDeclined): _S.EXPIRING,
    (_S.EXPIRING, Cancel): _S.CLOSING_CHECKOUT,
    (_S.AWAITING_CSRS, Hold): _S.ON_HOLD,
    (_S.AWAITING_CSRS, Cancel): _S.WITHHOLDING,
    (_S.AWAITING_CSRS, CSRDeadline): _S.WITHHOLDING,
    (_S.AWAITING_CSRS, ItemsEnded): _S.COMPLETED,
    (_S.AWAITING_CSRS, AllRefused): _S.REFUSED,
    (_S.ON_HOLD, Release): _S.AWAITING_CSRS,
    (_S.ON_HOLD, Cancel): _S.WITHHOLDING,
    (_S.WITHHOLDING, PaymentCaptured): _S.WITHHOLDING,
    (_S.WITHHOLDING, IssuanceWithheld): _S.CANCELLED,
    (_S.WITHHOLDING, CancellationDeclined): _S.AWAITING_CSRS,
    # Late money of a renewal that has ended goes back.
    (_S.CANCELLED, PaymentCaptured): _S.CANCELLED,
    (_S.EXPIRED, PaymentCaptured): _S.EXPIRED,
    (_S.CANCELLED, PaymentRefunded): _S.CANCELLED,
    (_S.EXPIRED, PaymentRefunded): _S.EXPIRED,
    (_S.COMPLETED, PaymentRefunded): _S.COMPLETED,
    (_S.REFUSED, PaymentRefunded): _S.REFUSED,
    (_S.AWAITING_CSRS, PaymentRefunded): _S.AWAITING_CSRS,
    (_S.WITHHOLDING, PaymentRefunded): _S.WITHHOLDING,
}


class ItemState(StrEnum):
    """Where one certificate of a renewal stands."""

    PENDING = "pending"
    ORDERED = "ordered"
    CSR_RECEIVED = "csr-received"
    ISSUED = "issued"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHHELD = "withheld"


_I = ItemState
ITEM_TRANSITIONS: Final[Mapping[tuple[ItemState, type[Event]], ItemState]] = {
    (_I.PENDING, OrderOpened): _I.ORDERED,
    (_I.ORDERED, CSRReceived): _I.CSR_RECEIVED,
    (_I.CSR_RECEIVED, CertificateIssued): _I.ISSUED,
    (_I.ORDERED, IssuanceRefused): _I.REFUSED,
    (_I.CSR_RECEIVED, IssuanceRefused): _I.REFUSED,
    (_I.ISSUED, CertificateAccepted): _I.ACCEPTED,
    (_I.PENDING, IssuanceWithheld): _I.WITHHELD,
    (_I.ORDERED, IssuanceWithheld): _I.WITHHELD,
    (_I.CSR_RECEIVED, IssuanceWithheld): _I.WITHHELD,
}


class InvalidTransition(Refused):
    """A command that the present state does not allow."""

    reason = "not-in-this-state"


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What a subscriber pays for by the year; the SRN names it. The certificate is the current one, as PEM."""

    srn: str
    subscriber_id: SubscriberId
    subscriber_name: str
    ar_id: ARId
    ar_name: str
    product: Product
    server_names: tuple[str, ...]
    additional_servers: int
    standing: str
    certificate: str
    serial: str
    not_after: datetime


@dataclass(frozen=True, kw_only=True)
class Item:
    """One certificate being renewed inside a renewal. Amounts in minor units."""

    id: ItemId
    renewal_id: RenewalId
    position: int
    reference: str
    srn: str
    product: Product
    server_names: tuple[str, ...]
    additional_servers: int
    current_serial: str
    amount_minor: int
    state: ItemState
    serial: str | None = None

    def after(self, event: Event) -> "Item":
        """The item after an event. Raises Ignored if the event no longer changes it."""
        if (state := ITEM_TRANSITIONS.get((self.state, type(event)))) is None:
            raise Ignored(f"item is {self.state}")
        return replace(self, state=state)

    @property
    def got_certificate(self) -> bool:
        """A certificate was issued for it."""
        return self.state in (ItemState.ISSUED, ItemState.ACCEPTED)

    @property
    def ended(self) -> bool:
        """It got a certificate or never will."""
        return self.got_certificate or self.state in (ItemState.REFUSED, ItemState.WITHHELD)


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """One application for new paid subscriptions of one subscriber."""

    id: RenewalId
    reference: str
    subscriber_id: SubscriberId
    subscriber_name: str
    ar_id: ARId
    language: Language
    state: RenewalState
    document: str
    document_sha256: str
    amount_minor: int
    currency: str
    created_at: datetime
    attestation: str | None = None
    receipt: str | None = None
    captured_minor: int | None = None
    submitted_at: datetime | None = None
    ended_at: datetime | None = None

    def after(self, trigger: Trigger, now: datetime) -> "Renewal":
        """The renewal after a command. Raises InvalidTransition."""
        if (state := TRANSITIONS.get((self.state, trigger))) is None:
            raise InvalidTransition(f"the renewal is {self.state}")
        return replace(self, state=state, ended_at=now if state.ended and self.ended_at is None else self.ended_at)

    def after_event(self, event: Event, now: datetime) -> "Renewal":
        """The renewal after an event. Raises Ignored if the event no longer changes it."""
        if (self.state, type(event)) not in TRANSITIONS:
            raise Ignored(f"renewal is {self.state}")
        return self.after(type(event), now)


class RenewalNotFound(Refused):
    """No such renewal of this subscriber."""

    reason = "renewal-not-found"


class NotEligible(Refused):
    """One of the certificates cannot be renewed online now; the message says which, why and what to do."""

    reason = "not-eligible"

    def __init__(self, srn: str, reason: str, advice: str) -> None:
        super().__init__(f"{srn}: {advice}")
        self.extensions = {"srn": srn, "reason": reason}


class WrongAttestation(Refused):
    """The attestation is not about this renewal's document, this AR and this subscriber."""

    reason = "wrong-attestation"


class DocumentTooOld(Refused):
    """Prices and terms may have changed since this document was made: start again."""

    reason = "document-too-old"


class WrongAmount(Refused):
    """payment captured something else than the renewal's amount."""

    reason = "wrong-amount"
