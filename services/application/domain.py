"""Renewals, their items and their states: what may follow what, and every reason to refuse."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.application.refusals import Contradiction, InvalidTransition
from shared.errors import Ignored
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
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired

CURRENCY: Final = "HKD"


class Submit:
    """The AR submits the signed document."""


class Cancel:
    """The AR cancels."""


class Deadline:
    """The state has lasted as long as it may."""


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


class Ending(StrEnum):
    """Why a renewal ends, or is about to end, without all its certificates."""

    CANCELLED = "cancelled"
    NOT_PAID = "not-paid"
    NO_CSR = "no-csr"
    NOT_RELEASED = "not-released"
    WITHHELD = "withheld"
    REFUSED = "refused"


ENDED: Final = frozenset({RenewalState.COMPLETED, RenewalState.REFUSED, RenewalState.CANCELLED, RenewalState.EXPIRED})

# Here certificates are still to come, or have; whatever was to end the renewal did not.
GOING_ON: Final = frozenset(
    {RenewalState.AWAITING_PAYMENT, RenewalState.AWAITING_CSRS, RenewalState.ON_HOLD, RenewalState.COMPLETED}
)

_S = RenewalState
# What becomes of refunds is not here: they are rows of their own and settle in whatever state the renewal is.
TRANSITIONS: Final[Mapping[tuple[RenewalState, Trigger], RenewalState]] = {
    (_S.DRAFT, Submit): _S.AWAITING_PAYMENT,
    (_S.DRAFT, Cancel): _S.CANCELLED,
    (_S.AWAITING_PAYMENT, PaymentDeclined): _S.AWAITING_PAYMENT,
    (_S.AWAITING_PAYMENT, PaymentCaptured): _S.AWAITING_CSRS,
    # Payment closed by itself: it would not answer a later wish to close.
    (_S.AWAITING_PAYMENT, PaymentExpired): _S.EXPIRED,
    (_S.AWAITING_PAYMENT, Cancel): _S.CLOSING_CHECKOUT,
    (_S.AWAITING_PAYMENT, Deadline): _S.EXPIRING,
    # Cancelled, but the money came all the same: it goes back once issuance has withheld.
    (_S.CLOSING_CHECKOUT, PaymentCaptured): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentExpired): _S.WITHHOLDING,
    (_S.CLOSING_CHECKOUT, PaymentDeclined): _S.CLOSING_CHECKOUT,
    (_S.CLOSING_CHECKOUT, Deadline): _S.CLOSING_CHECKOUT,
    # Paid in the last moment: the renewal goes on.
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
    # A tombstone is for ever, even if another answer came before it: nothing more is to be waited for.
    (_S.AWAITING_CSRS, IssuanceWithheld): _S.CANCELLED,
    (_S.ON_HOLD, IssuanceWithheld): _S.CANCELLED,
    # Late money of a renewal that has ended goes back.
    (_S.CANCELLED, PaymentCaptured): _S.CANCELLED,
    (_S.EXPIRED, PaymentCaptured): _S.EXPIRED,
}

# How long a renewal may stay in a state. A draft has no deadline: it holds no subscription and no money, nobody
# waits for it, and it cannot be submitted once its document is too old. Post and people are slow: three months are
# far beyond both. Where another service's answer is awaited, the deadline says so aloud and asks again.
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
    """Where one certificate of a renewal stands."""

    PENDING = "pending"
    ORDERED = "ordered"
    CSR_RECEIVED = "csr-received"
    ISSUED = "issued"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHHELD = "withheld"


class Step(StrEnum):
    """A step of a renewal's course, as the AR is shown it."""

    SUBMITTED = "submitted"
    PAID = "paid"
    PAYMENT_DECLINED = "payment-declined"
    CSR_REQUEST_SENT = "csr-request-sent"
    MAIL_BOUNCED = "mail-bounced"
    ORDER_OPENED = "order-opened"
    PIN_ENVELOPE_POSTED = "pin-envelope-posted"
    PIN_ENVELOPE_RETURNED = "pin-envelope-returned"
    PIN_REISSUED = "pin-reissued"
    CSR_RECEIVED = "csr-received"
    CERTIFICATE_ISSUED = "certificate-issued"
    CERTIFICATE_ACCEPTED = "certificate-accepted"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_REFUSED = "certificate-refused"
    ON_HOLD = "on-hold"
    RELEASED = "released"
    CANCELLATION_ASKED = "cancellation-asked"
    CANCELLATION_DECLINED = "cancellation-declined"
    PAYMENT_DEADLINE = "payment-deadline"
    CSR_DEADLINE = "csr-deadline"
    HOLD_DEADLINE = "hold-deadline"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"
    REFUNDED = "refunded"
    COMPLETED = "completed"


_I = ItemState
ITEM_TRANSITIONS: Final[Mapping[tuple[ItemState, type[Event]], ItemState]] = {
    (_I.PENDING, OrderOpened): _I.ORDERED,
    (_I.ORDERED, CSRReceived): _I.CSR_RECEIVED,
    # The CSR was set aside later on, and this is another.
    (_I.CSR_RECEIVED, CSRReceived): _I.CSR_RECEIVED,
    (_I.CSR_RECEIVED, CertificateIssued): _I.ISSUED,
    (_I.ORDERED, IssuanceRefused): _I.REFUSED,
    (_I.CSR_RECEIVED, IssuanceRefused): _I.REFUSED,
    (_I.ISSUED, CertificateAccepted): _I.ACCEPTED,
    (_I.PENDING, IssuanceWithheld): _I.WITHHELD,
    (_I.ORDERED, IssuanceWithheld): _I.WITHHELD,
    (_I.CSR_RECEIVED, IssuanceWithheld): _I.WITHHELD,
    # Refused before an order was opened; or an operator skipped a held event, and the later one says as much.
    (_I.PENDING, IssuanceRefused): _I.REFUSED,
    (_I.PENDING, CSRReceived): _I.CSR_RECEIVED,
    (_I.PENDING, CertificateIssued): _I.ISSUED,
    (_I.ORDERED, CertificateIssued): _I.ISSUED,
}
# These would mean that an item was paid back and issued, or issued twice: a person has to look.
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
class Subscription:
    """What a subscriber pays for by the year; the SRN names it.

    The certificate is the current one, as PEM; `standing`, `serial` and `not_after` are that certificate's.
    """

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

    @property
    def key_sha256(self) -> str:
        """The digest of the current certificate's public key, by which a new key is told from the old one."""
        key = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


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
        """The item after an event. Raises Ignored if the event no longer changes it, or Contradiction."""
        if (self.state, type(event)) in CONTRADICTIONS:
            raise Contradiction(f"item {self.id} is {self.state}")
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
    payment_id: uuid.UUID | None = None
    receipt: str | None = None
    captured_minor: int | None = None
    ending: Ending | None = None
    submitted_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def submit_before(self) -> datetime:
        """Prices and terms may change: the document can be submitted for a day."""
        return self.created_at + DOCUMENT_LIFE

    def after(self, trigger: Trigger, now: datetime, *, ending: Ending | None = None) -> "Renewal":
        """The renewal after a command, with the reason why it ends, if it does. Raises InvalidTransition."""
        if (state := TRANSITIONS.get((self.state, trigger))) is None:
            raise InvalidTransition(self.state.value)
        ended_at = now if state.ended and self.ended_at is None else self.ended_at
        ending = None if state in GOING_ON else ending or self.ending
        return replace(self, state=state, ended_at=ended_at, ending=ending)

    def after_event(self, event: Event, now: datetime, *, ending: Ending | None = None) -> "Renewal":
        """The renewal after an event. Raises Ignored if the event no longer changes it."""
        if (self.state, type(event)) not in TRANSITIONS:
            raise Ignored(f"renewal is {self.state}")
        return self.after(type(event), now, ending=ending)


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Captured money that goes back: for one item, or for the whole renewal."""

    id: uuid.UUID
    item_id: ItemId | None
    amount_minor: int
    refunded_at: datetime | None = None
