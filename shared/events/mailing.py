"""What mailing announces: e-mails and PIN Envelopes."""

import uuid
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from shared.events.base import Event, ItemId, Topic, UTCTime


@dataclass(frozen=True, kw_only=True)
class CSRRequestSent(Event):
    """The mail server took the e-mail "Submission of Certificate Signing Request (CSR)"."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.csr-request-sent.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    message_id: str
    sent_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class MailBounced(Event):
    """A mail of this renewal was refused for good by the recipient's mail server; `template` says which mail."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.mail-bounced.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    message_id: str
    reply_code: int
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class PINEnvelopePosted(Event):
    """A PIN Envelope went to the post by registered mail."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.pin-envelope-posted.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    registered_number: str
    posted_on: date


@dataclass(frozen=True, kw_only=True)
class PINEnvelopeReturned(Event):
    """The post brought a PIN Envelope back."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.pin-envelope-returned.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    item_id: ItemId
    envelope_id: uuid.UUID
    reason: str
    returned_on: date
