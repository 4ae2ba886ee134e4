"""Orders, PINs, intents and certificates, with the states of an order; no input or output, no clock."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from services.issuance.refusals import InvalidTransition
from shared.events.base import Event
from shared.events.issuance import (
    CertificateAccepted,
    CertificateIssued,
    CSRReceived,
    IssuanceRefused,
    IssuanceWithheld,
    Obstacle,
)
from shared.vocabulary import ARId, ItemId, Product, RenewalId, SubscriberId


class OrderState(StrEnum):
    """States of an item's order."""

    AWAITING_CSR = "awaiting-csr"
    CSR_RECEIVED = "csr-received"
    ISSUING = "issuing"
    ISSUED = "issued"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHHELD = "withheld"


class IntentMade:
    """The to-be-signed bytes are stored: a certificate follows, unless they may no longer be signed by then."""


class IntentAged:
    """The to-be-signed bytes have grown too old to be signed, and others with another serial number replace them."""


class CSRDiscarded:
    """The CSR failed re-validation and is discarded; the order waits for another."""


Trigger = type[Event] | type[IntentMade] | type[IntentAged] | type[CSRDiscarded]
_S = OrderState
TRANSITIONS: Final[Mapping[tuple[OrderState, Trigger], OrderState]] = {
    (_S.AWAITING_CSR, CSRReceived): _S.CSR_RECEIVED,
    (_S.CSR_RECEIVED, CSRDiscarded): _S.AWAITING_CSR,
    (_S.CSR_RECEIVED, IntentMade): _S.ISSUING,
    (_S.AWAITING_CSR, IssuanceRefused): _S.REFUSED,
    (_S.CSR_RECEIVED, IssuanceRefused): _S.REFUSED,
    (_S.ISSUING, IntentAged): _S.CSR_RECEIVED,
    (_S.ISSUING, CertificateIssued): _S.ISSUED,
    (_S.ISSUING, IssuanceRefused): _S.REFUSED,
    (_S.ISSUED, CertificateAccepted): _S.ACCEPTED,
    (_S.AWAITING_CSR, IssuanceWithheld): _S.WITHHELD,
    (_S.CSR_RECEIVED, IssuanceWithheld): _S.WITHHELD,
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A certificate to be issued. `csr` is DER; `obstacles` are what it waits for, as last announced.

    The CSR of a `reissue` needs no PINs: it has none. `paid_until` is the last day that is paid for, in Hong Kong:
    never stored, since it comes from the proofs alone.
    """

    item_id: ItemId
    renewal_id: RenewalId
    position: int
    reference: str
    srn: str
    product: Product
    server_names: tuple[str, ...]
    state: OrderState = OrderState.AWAITING_CSR
    csr: bytes | None = None
    csr_sha256: bytes | None = None
    spki_sha256: bytes | None = None
    key_kind: str | None = None
    csr_received_at: datetime | None = None
    refusal: str | None = None
    due_at: datetime | None = None
    traceparent: str | None = None
    obstacles: tuple[Obstacle, ...] = ()
    checks_asked_at: datetime | None = None
    reissue: bool = False
    paid_until: date | None = None

    def after(self, trigger: Trigger) -> "Order":
        """Return the order after the trigger. Raises InvalidTransition."""
        if (state := TRANSITIONS.get((self.state, trigger))) is None:
            raise InvalidTransition(f"the order is {self.state}")
        return replace(self, state=state)


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """The subscriber as identity verified it. ISO 3166 country; a province, a locality or both."""

    name: str
    country: str
    state_or_province: str | None = None
    locality: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """The recipient of the letter, from identity's record and never from typed input."""

    name: str
    organisation: str
    address: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The proven facts about a renewal, and the proofs themselves."""

    renewal_id: RenewalId
    reference: str
    subscriber_id: SubscriberId
    ar_id: ARId
    organisation: Organisation
    recipient: Recipient
    document: str
    attestation: str
    receipt: str


@dataclass(frozen=True, kw_only=True)
class PIN:
    """A server name's PIN Envelope as the database knows it; the PIN itself is stored nowhere.

    `replaces` is the last sealed envelope of the name before this one, set when the PIN is to be made. `made` counts
    the PINs that the name has had, this one included.
    """

    envelope_id: uuid.UUID
    item_id: ItemId
    server_name: str
    state: str
    hash: str | None
    tries: int
    planned_at: datetime
    made: int
    traceparent: str | None = None
    replaces: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Intent:
    """Bytes to be signed, or a tombstone: they never will be. `serial` is lower-case hexadecimal.

    `tbs` are the precertificate's bytes. What follows is stored step by step: the signed precertificate, the SCTs so
    far as a SignedCertificateTimestampList, and the bytes of the certificate.
    """

    item_id: ItemId
    renewal_id: RenewalId
    serial: str
    tbs: bytes
    state: str
    findings: tuple[str, ...]
    precertificate: bytes | None = None
    scts: bytes | None = None
    certificate_tbs: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """An issued certificate. Nobody got it (`given_out`) if its intent had ended when it was signed."""

    serial: str
    item_id: ItemId
    renewal_id: RenewalId
    spki_sha256: bytes
    der: bytes
    sha256: bytes
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    accepted_at: datetime | None = None
    revoked_at: datetime | None = None
    revocation_reason: str | None = None
    given_out: bool = True


class RevokedBy(StrEnum):
    """Parties that revoke: an AR of the subscriber, or the CA."""

    REPRESENTATIVE = "representative"
    CA = "ca"


@dataclass(frozen=True, kw_only=True)
class StrayCertificate:
    """A certificate or precertificate of our key that no order has; it can be revoked, and no event announces it.

    `origin` is "intent-ended" for the precertificate of an intent without a certificate, "adopted" if an operator has
    taken it into the books.
    """

    serial: str
    der: bytes
    sha256: bytes
    spki_sha256: bytes
    not_before: datetime
    not_after: datetime
    origin: str
    added_at: datetime
    revoked_at: datetime | None = None
    revocation_reason: str | None = None
