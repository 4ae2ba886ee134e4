"""Renewals and items: their states, transitions and rules."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from services.application.period import Period
from services.application.refusals import Contradiction, InvalidTransition
from shared.errors import Ignored
from shared.events.application import NotifiedObstacle
from shared.events.base import Event
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CSRReceived,
    IssuanceDelayed,
    IssuanceRefused,
    IssuanceWithheld,
    Obstacle,
    OrderOpened,
)
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired
from shared.vocabulary import ARId, ItemId, Language, Product, RenewalId, SubscriberId

CURRENCY: Final = "HKD"


class Submit:
    """The AR submits the signed document."""


class SubmitReissue:
    """The AR submits the signed document of a reissue, for which nothing is to be paid."""


class Cancel:
    """The AR cancels."""


class Deadline:
    """The deadline of the state has passed."""


class Hold:
    """The AR of record was replaced since the submission."""


class Release:
    """An operator releases a renewal on hold."""


class ItemsEnded:
    """Every item has ended and at least one certificate was issued."""


class AllRefused:
    """Every item has ended and none got a certificate."""


Trigger = type[Event] | type[object]


class RenewalKind(StrEnum):
    """Kinds of renewals: the next paid period, or another certificate within the present one."""

    RENEWAL = "renewal"
    REISSUE = "reissue"


class RenewalState(StrEnum):
    """States of a renewal."""

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
        """Whether no further certificate will be issued."""
        return self in ENDED


class EndReason(StrEnum):
    """Reasons for ending a renewal without all its certificates."""

    CANCELLED = "cancelled"
    NOT_PAID = "not-paid"
    NO_CSR = "no-csr"
    NOT_ISSUED = "not-issued"
    NOT_RELEASED = "not-released"
    WITHHELD = "withheld"
    REFUSED = "refused"


ENDED: Final = frozenset({RenewalState.COMPLETED, RenewalState.REFUSED, RenewalState.CANCELLED, RenewalState.EXPIRED})

# States in which an earlier end reason no longer applies.
GOING_ON: Final = frozenset(
    {RenewalState.AWAITING_PAYMENT, RenewalState.AWAITING_CSRS, RenewalState.ON_HOLD, RenewalState.COMPLETED}
)

_S = RenewalState
# Refunds are not here: they are separate rows, and settle in any state of the renewal.
TRANSITIONS: Final[Mapping[tuple[RenewalState, Trigger], RenewalState]] = {
    (_S.DRAFT, Submit): _S.AWAITING_PAYMENT,
    (_S.DRAFT, SubmitReissue): _S.AWAITING_CSRS,
    (_S.DRAFT, Cancel): _S.CANCELLED,
    (_S.AWAITING_PAYMENT, PaymentDeclined): _S.AWAITING_PAYMENT,
    (_S.AWAITING_PAYMENT, PaymentCaptured): _S.AWAITING_CSRS,
    # Payment expired by itself, and would not answer a later closure request.
    (_S.AWAITING_PAYMENT, PaymentExpired): _S.EXPIRED,
    (_S.AWAITING_PAYMENT, Cancel): _S.CLOSING_CHECKOUT,
    (_S.AWAITING_PAYMENT, Deadline): _S.EXPIRING,
    # Cancelled, but the payment was captured: it is refunded once issuance has withheld.
    (_S.CLOSING_CHECKOUT, PaymentCaptured): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentExpired): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentDeclined): _S.CLOSING_CHECKOUT,
    (_S.CLOSING_CHECKOUT, Deadline): _S.CLOSING_CHECKOUT,
    # Paid at the last moment: the renewal continues.
    (_S.EXPIRING, PaymentCaptured): _S.AWAITING_CSRS,
    (_S.EXPIRING, PaymentExpired): _S.EXPIRED,
    (_S.EXPIRING, PaymentDeclined): _S.EXPIRING,
    (_S.EXPIRING, Cancel): _S.CLOSING_CHECKOUT,
    (_S.EXPIRING, Deadline): _S.EXPIRING,
    (_S.AWAITING_CSRS, Hold): _S.ON_HOLD,
    (_S.AWAITING_CSRS, Cancel): _S.WITHHOLDING,
    (_S.AWAITING_CSRS, Deadline): _S.WITHHOLDING,
    (_S.AWAITING_CSRS, ItemsEnded): _S.COMPLETED,
    (_S.AWAITING_CSRS, AllRefused): _S.REFUSED,
    (_S.ON_HOLD, Release): _S.AWAITING_CSRS,
    (_S.ON_HOLD, Cancel): _S.WITHHOLDING,
    (_S.ON_HOLD, Deadline): _S.WITHHOLDING,
    (_S.WITHHOLDING, PaymentCaptured): _S.WITHHOLDING,
    (_S.WITHHOLDING, IssuanceWithheld): _S.CANCELLED,
    (_S.WITHHOLDING, CancellationDeclined): _S.AWAITING_CSRS,
    (_S.WITHHOLDING, Deadline): _S.WITHHOLDING,
    # A tombstone is permanent, even after another answer: nothing more is awaited.
    (_S.AWAITING_CSRS, IssuanceWithheld): _S.CANCELLED,
    (_S.ON_HOLD, IssuanceWithheld): _S.CANCELLED,
    # A late capture of an ended renewal is refunded.
    (_S.CANCELLED, PaymentCaptured): _S.CANCELLED,
    (_S.EXPIRED, PaymentCaptured): _S.EXPIRED,
}

# Maximum time in a state. A draft has no deadline: it holds no subscription and no money, and cannot be submitted once
# its document is too old. Post and people are slow: three months are far beyond both. If another service's answer is
# overdue, the deadline logs it and repeats the request.
DEADLINES: Final[Mapping[RenewalState, timedelta]] = {
    _S.AWAITING_PAYMENT: timedelta(days=14),
    _S.CLOSING_CHECKOUT: timedelta(days=1),
    _S.EXPIRING: timedelta(days=1),
    _S.AWAITING_CSRS: timedelta(days=90),
    _S.ON_HOLD: timedelta(days=30),
    _S.WITHHOLDING: timedelta(days=1),
}
DOCUMENT_LIFE: Final = timedelta(hours=24)


class ItemState(StrEnum):
    """States of an item."""

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
    # The earlier CSR was discarded, and this is another one.
    (_I.CSR_RECEIVED, CSRReceived): _I.CSR_RECEIVED,
    # The certificate waits, or waits for something else than before.
    (_I.CSR_RECEIVED, IssuanceDelayed): _I.CSR_RECEIVED,
    (_I.CSR_RECEIVED, CertificateIssued): _I.ISSUED,
    (_I.ORDERED, IssuanceRefused): _I.REFUSED,
    (_I.CSR_RECEIVED, IssuanceRefused): _I.REFUSED,
    (_I.ISSUED, CertificateAccepted): _I.ACCEPTED,
    (_I.PENDING, IssuanceWithheld): _I.WITHHELD,
    (_I.ORDERED, IssuanceWithheld): _I.WITHHELD,
    (_I.CSR_RECEIVED, IssuanceWithheld): _I.WITHHELD,
    # Refused before an order was opened; or an operator skipped a held event, and the later one implies it.
    (_I.PENDING, IssuanceRefused): _I.REFUSED,
    (_I.PENDING, CSRReceived): _I.CSR_RECEIVED,
    (_I.PENDING, CertificateIssued): _I.ISSUED,
    (_I.ORDERED, CertificateIssued): _I.ISSUED,
}
# The item would be both refunded and issued, or issued twice: the event is held for a person.
CONTRADICTIONS: Final[frozenset[tuple[ItemState, type[Event]]]] = frozenset(
    {
        (_I.REFUSED, CertificateIssued),
        (_I.WITHHELD, CertificateIssued),
        (_I.ISSUED, CertificateIssued),
        (_I.ACCEPTED, CertificateIssued),
        (_I.ISSUED, IssuanceRefused),
        (_I.ACCEPTED, IssuanceRefused),
        (_I.ISSUED, IssuanceWithheld),
        (_I.ACCEPTED, IssuanceWithheld),
    }
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A certificate that is renewed. Amounts in minor units.

    `obstacles` are what its certificate waits for at present, `notified` those of which its AR was ever notified.
    """

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
    obstacles: tuple[Obstacle, ...] = ()
    notified: tuple[NotifiedObstacle, ...] = ()
    paid_from: date | None = None
    paid_until: date | None = None
    present_server_names: tuple[str, ...] | None = None

    @property
    def names_before(self) -> tuple[str, ...]:
        """The subscription's server names when the item was made: others than the item's if the AR changes them."""
        return self.server_names if self.present_server_names is None else self.present_server_names

    @property
    def period(self) -> Period | None:
        """The year that its fee pays for; None in a document from before periods were recorded."""
        if self.paid_from is None or self.paid_until is None:
            return None
        return Period(first=self.paid_from, last=self.paid_until)

    def after(self, event: Event) -> "Item":
        """Return the item after an event; obstacles were those of the state before.

        Raises Ignored if the event changes nothing any more, or Contradiction.
        """
        if (self.state, type(event)) in CONTRADICTIONS:
            raise Contradiction(f"item {self.id} is {self.state}")
        if (state := ITEM_TRANSITIONS.get((self.state, type(event)))) is None:
            raise Ignored(f"item is {self.state}")
        return replace(self, state=state, obstacles=())

    @property
    def got_certificate(self) -> bool:
        """Whether a certificate was issued for the item."""
        return self.state in (ItemState.ISSUED, ItemState.ACCEPTED)

    @property
    def ended(self) -> bool:
        """Whether the item has a certificate or will never get one."""
        return self.got_certificate or self.state in (ItemState.REFUSED, ItemState.WITHHELD)


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A renewal, or a reissue, of one subscriber's subscriptions.

    `receipt` is payment's; that of a reissue is the entitlement that application signed at the submission.
    """

    id: RenewalId
    kind: RenewalKind
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
    payment_id: uuid.UUID | None = None
    receipt: str | None = None
    captured_minor: int | None = None
    ending: EndReason | None = None
    submitted_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def submit_before(self) -> datetime:
        """The end of the day within which the document can be submitted, since prices and terms may change."""
        return self.created_at + DOCUMENT_LIFE

    def after(self, trigger: Trigger, now: datetime, *, ending: EndReason | None = None) -> "Renewal":
        """Return the renewal after a command, with the end reason, if it ends. Raises InvalidTransition."""
        if (state := TRANSITIONS.get((self.state, trigger))) is None:
            raise InvalidTransition(self.state.value)
        ended_at = now if state.ended and self.ended_at is None else self.ended_at
        ending = None if state in GOING_ON else ending or self.ending
        return replace(self, state=state, ended_at=ended_at, ending=ending)

    def after_event(self, event: Event, now: datetime, *, ending: EndReason | None = None) -> "Renewal":
        """Return the renewal after an event. Raises Ignored if the event changes nothing any more."""
        if (self.state, type(event)) not in TRANSITIONS:
            raise Ignored(f"renewal is {self.state}")
        return self.after(type(event), now, ending=ending)


@dataclass(frozen=True, kw_only=True)
class Refund:
    """A refund of captured money: for one item, or for the whole renewal."""

    id: uuid.UUID
    item_id: ItemId | None
    amount_minor: int
    refunded_at: datetime | None = None
