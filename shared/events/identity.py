"""Events of identity."""

import uuid
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.events.base import RenewalEvent, SubscriberEvent, Topic
from shared.vocabulary import ARId, SubscriberId, UTCTime

Base64 = Annotated[str, Meta(description="Bytes, in Base64")]
SHA256 = Annotated[str, Meta(description="SHA-256, lower-case hexadecimal")]


@dataclass(frozen=True, kw_only=True)
class SignatureVerified(RenewalEvent):
    """The AR's signature over the renewal's document was verified, and its evidence is kept."""

    TYPE: ClassVar[str] = "hk.ecert.identity.signature-verified.v1"
    TOPIC: ClassVar[Topic] = Topic.IDENTITY

    evidence_id: uuid.UUID
    subscriber_id: SubscriberId
    ar_id: ARId
    document_sha256: str
    certificate_sha256: str
    verified_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class EvidenceCRL:
    """A revocation list that a decision was based on, by its issuing CA (name and key) and its own hash."""

    issuer_sha256: SHA256
    sha256: SHA256


@dataclass(frozen=True, kw_only=True)
class EvidenceKept(RenewalEvent):
    """Copy of one signature evidence outside identity's database; identity alone reads it, after a restore.

    The attestation names subscriber, representative and certificate. `chain` is the signer's certificate, the sub-CAs
    and the anchor (DER); `decision` is JSON.
    """

    TYPE: ClassVar[str] = "hk.ecert.identity.evidence-kept.v1"
    TOPIC: ClassVar[Topic] = Topic.EVIDENCE

    evidence_id: uuid.UUID
    attestation: str
    document: Base64
    signature: Base64
    chain: tuple[Base64, ...]
    crls: tuple[EvidenceCRL, ...]
    decision: str
    verified_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """An AR in office whom the register names, with their address there."""

    name: str
    email: str


@dataclass(frozen=True, kw_only=True)
class ECertRolledOver(SubscriberEvent):
    """The successor of an AR's e-Cert was registered at a sign-in; every AR in office of the subscriber gets
    an e-mail."""

    TYPE: ClassVar[str] = "hk.ecert.identity.ecert-rolled-over.v1"
    TOPIC: ClassVar[Topic] = Topic.REGISTER

    subscriber_name: str
    ar_id: ARId
    ar_name: str
    certificate_sha256: SHA256
    serial: str
    recipients: tuple[Recipient, ...]
    registered_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class AuthorisedRepresentativeReplaced(SubscriberEvent):
    """An AR's office ended, and a successor acts for the subscriber in their place."""

    TYPE: ClassVar[str] = "hk.ecert.identity.authorised-representative-replaced.v1"
    TOPIC: ClassVar[Topic] = Topic.REGISTER

    ar_id: ARId
    successor_id: ARId
    successor_name: str
    replaced_at: UTCTime
