"""Events of identity."""

import uuid
from dataclasses import dataclass
from typing import ClassVar

from shared.events.base import Event, Topic
from shared.vocabulary import ARId, SubscriberId, UTCTime


@dataclass(frozen=True, kw_only=True)
class SignatureVerified(Event):
    """The AR's signature over the renewal's document was verified, and its evidence is kept."""

    TYPE: ClassVar[str] = "hk.ecert.identity.signature-verified.v1"
    TOPIC: ClassVar[Topic] = Topic.IDENTITY

    evidence_id: uuid.UUID
    subscriber_id: SubscriberId
    ar_id: ARId
    document_sha256: str
    certificate_sha256: str
    verified_at: UTCTime
