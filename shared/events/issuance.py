"""What issuance announces: orders, CSRs, certificates; and sealed PINs, on a topic of their own."""

import uuid
from dataclasses import dataclass
from typing import ClassVar

from shared.events.base import Event, ItemId, Product, Topic, UTCTime


@dataclass(frozen=True, kw_only=True)
class OrderOpened(Event):
    """Both proofs were verified: this item waits for its CSR."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.order-opened.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    reference: str
    srn: str
    product: Product
    server_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PINEnvelopeSealed(Event):
    """One server name's PIN and its recipient, as CMS EnvelopedData (DER, base64) for the print key.

    `replaces` is the envelope whose PIN was voided for this one: no letter but the new one is of any use.
    """

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-envelope-sealed.v1"
    TOPIC: ClassVar[Topic] = Topic.PIN_ENVELOPES

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    sealed: str
    replaces: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class PINVoided(Event):
    """The PIN of this envelope opens nothing any more, wherever the letter is."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-voided.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PINReissued(Event):
    """Another PIN will be made and posted for this server name, in the envelope `envelope_id`."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-reissued.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    replaces: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class CSRReceived(Event):
    """A CSR passed every check with the right PINs."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.csr-received.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    csr_sha256: str
    spki_sha256: str
    key_kind: str


@dataclass(frozen=True, kw_only=True)
class CertificateIssued(Event):
    """A certificate was signed, linted and stored. `serial` is lower-case hexadecimal."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-issued.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    srn: str
    serial: str
    server_names: tuple[str, ...]
    not_before: UTCTime
    not_after: UTCTime
    certificate_sha256: str
    certificate: str


@dataclass(frozen=True, kw_only=True)
class IssuanceRefused(Event):
    """This item will never get a certificate from this renewal."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.issuance-refused.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    reason: str


@dataclass(frozen=True, kw_only=True)
class IssuanceWithheld(Event):
    """A permanent tombstone stands: nothing of this renewal is or will ever be signed."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.issuance-withheld.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE


@dataclass(frozen=True, kw_only=True)
class CancellationDeclined(Event):
    """Too late to cancel: an intent to sign exists."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.cancellation-declined.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE


@dataclass(frozen=True, kw_only=True)
class CertificateAccepted(Event):
    """The AR confirmed the certificate's content and its publication."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-accepted.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    serial: str
    accepted_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class CertificateRevoked(Event):
    """The revocation was recorded; the next CRL carries it."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-revoked.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    serial: str
    reason: str
    revoked_at: UTCTime
