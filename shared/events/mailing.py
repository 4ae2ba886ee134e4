"""Events of mailing: e-mails and PIN Envelopes."""

import uuid
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from shared.events.base import RenewalEvent, Topic
from shared.vocabulary import ItemId, UTCTime


@dataclass(frozen=True, kw_only=True)
class CSRRequestSent(RenewalEvent):
    """The mail server accepted the e-mail "Submission of Certificate Signing Request (CSR)"."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.csr-request-sent.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    message_id: str
    sent_at: UTCTime


@dataclass(frozen=True, kw_only=True)
class MailBounced(RenewalEvent):
    """The recipient's mail server refused an e-mail of this renewal for good; `template` names the e-mail."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.mail-bounced.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    message_id: str
    reply_code: int
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class PINEnvelopePosted(RenewalEvent):
    """A PIN Envelope was sent by registered post."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.pin-envelope-posted.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    item_id: ItemId
    envelope_id: uuid.UUID
    server_name: str
    registered_number: str
    posted_on: date


@dataclass(frozen=True, kw_only=True)
class PINEnvelopeReturned(RenewalEvent):
    """The post returned a PIN Envelope."""

    TYPE: ClassVar[str] = "hk.ecert.mailing.pin-envelope-returned.v1"
    TOPIC: ClassVar[Topic] = Topic.MAILING

    item_id: ItemId
    envelope_id: uuid.UUID
    reason: str
    returned_on: date
