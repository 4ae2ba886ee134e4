"""Events of issuance: orders, CSRs, certificates; and sealed PINs, on a topic of their own."""

import uuid
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.events.base import RenewalEvent, Topic
from shared.vocabulary import ItemId, Product, UTCTime

SRN = Annotated[str, Meta(description="Subscriber Reference Number of the subscription")]
Serial = Annotated[str, Meta(description="The certificate's serial number, lower-case hexadecimal")]
SHA256 = Annotated[str, Meta(description="SHA-256, lower-case hexadecimal")]
Names = Annotated[tuple[str, ...], Meta(description="Server names as ordered; a wildcard's base name is implied")]
PEM = Annotated[str, Meta(description="The certificate, PEM, without its chain")]
CSR = Annotated[str, Meta(description="The CSR (PKCS #10), DER in base64")]
Reference = Annotated[str, Meta(description="The item's reference number, as in mails and on PIN Envelopes")]
RefusalReason = Annotated[str, Meta(description="Why, as a short word; a reader takes words it does not know")]
RevocationReason = Annotated[str, Meta(description="As in the CRL: a reason code's name of RFC 5280, 5.3.1")]

RevokedBy = Annotated[
    str,
    Meta(
        description="`representative` if an AR of the subscriber asked for it, `ca` if the CA did it for another cause"
    ),
]


@dataclass(frozen=True, kw_only=True)
class OrderOpened(RenewalEvent):
    """Both proofs were verified: this item awaits its CSR."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.order-opened.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    reference: Reference
    srn: SRN
    product: Product
    server_names: Names


@dataclass(frozen=True, kw_only=True)
class PINEnvelopeSealed(RenewalEvent):
    """One server name's PIN and its recipient, as CMS EnvelopedData (DER, base64) for the print key.

    `replaces` is the envelope whose PIN was voided for this one: only the new letter is of use.
    """

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-envelope-sealed.v1"
    TOPIC: ClassVar[Topic] = Topic.PIN_ENVELOPES

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    sealed: str
    replaces: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class PINVoided(RenewalEvent):
    """The PIN of this envelope is no longer usable, wherever the letter is."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-voided.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PINReissued(RenewalEvent):
    """Another PIN will be made and posted for this server name, in the envelope `envelope_id`."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.pin-reissued.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    replaces: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class CSRReceived(RenewalEvent):
    """A CSR passed every check, with the right PINs.

    The event contains the CSR, so that a restored database can issue the certificate without another one.
    """

    TYPE: ClassVar[str] = "hk.ecert.issuance.csr-received.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    csr_sha256: SHA256
    spki_sha256: SHA256
    key_kind: str
    csr: CSR | None = None


@dataclass(frozen=True, kw_only=True)
class CertificateIssued(RenewalEvent):
    """A certificate was signed, linted and stored."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-issued.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    srn: SRN
    serial: Serial
    server_names: Names
    not_before: UTCTime
    not_after: UTCTime
    certificate_sha256: SHA256
    certificate: PEM


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """An obstacle between a CSR and its certificate, for one server name.

    `kind` is `validation` (control of the domain), `caa` or `evidence` (of the organisation); `record` is the CAA
    record that forbids.
    """

    server_name: str
    kind: str
    reason: Annotated[str, Meta(description="Why, as a short word; a reader takes words it does not know")]
    record: str | None = None


@dataclass(frozen=True, kw_only=True)
class IssuanceDelayed(RenewalEvent):
    """The certificate waits until these obstacles are gone; they are looked at again by themselves."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.issuance-delayed.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, kw_only=True)
class IssuanceRefused(RenewalEvent):
    """An item gets no certificate from this renewal."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.issuance-refused.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    reason: RefusalReason


@dataclass(frozen=True, kw_only=True)
class IssuanceWithheld(RenewalEvent):
    """A permanent tombstone: nothing of this renewal is or will be signed."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.issuance-withheld.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE


@dataclass(frozen=True, kw_only=True)
class CancellationDeclined(RenewalEvent):
    """An intent to sign exists, so it is too late to cancel."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.cancellation-declined.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE


@dataclass(frozen=True, kw_only=True)
class CertificateAccepted(RenewalEvent):
    """The AR confirmed the certificate's content and its publication."""

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-accepted.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    serial: Serial
    accepted_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class CertificateRevoked(RenewalEvent):
    """The revocation was recorded; the next CRL lists it.

    `certificate` is set only for one that was never announced as issued: it was signed too late to be delivered.
    """

    TYPE: ClassVar[str] = "hk.ecert.issuance.certificate-revoked.v1"
    TOPIC: ClassVar[Topic] = Topic.ISSUANCE

    item_id: ItemId
    serial: Serial
    reason: RevocationReason
    revoked_at: UTCTime
    certificate: PEM | None = None
    revoked_by: RevokedBy | None = None
