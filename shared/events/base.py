"""What every event has, and the registry by which a reader finds an event's class from its type."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Final, NewType

from msgspec import Meta

RenewalId = NewType("RenewalId", uuid.UUID)
ItemId = NewType("ItemId", uuid.UUID)
SubscriberId = NewType("SubscriberId", str)
ARId = NewType("ARId", str)
# A moment on the wire always says its zone.
UTCTime = Annotated[datetime, Meta(tz=True)]


class Topic(StrEnum):
    """A Kafka topic; each has exactly one writing service."""

    IDENTITY = "identity.events"
    APPLICATION = "application.events"
    PAYMENT = "payment.events"
    MAILING = "mailing.events"
    ISSUANCE = "issuance.events"
    PIN_ENVELOPES = "issuance.pin-envelopes"


# Outsiders read these by position: their events are numbered and signed before they are sent.
FEEDS: Final = frozenset({Topic.ISSUANCE})


class Product(StrEnum):
    """The e-Cert (Server) products that can be renewed online."""

    STANDARD = "standard"
    WILDCARD = "wildcard"
    MULTI_DOMAIN = "multi-domain"


class Language(StrEnum):
    """The AR's language, as a BCP 47 tag."""

    ENGLISH = "en"
    TRADITIONAL_CHINESE = "zh-Hant"
    SIMPLIFIED_CHINESE = "zh-Hans"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to one renewal; its data, without the envelope."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[Topic]

    renewal_id: RenewalId


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One event as it travels: the CloudEvents 1.0 attributes and the undecoded data.

    `sequence` counts 1, 2, 3 … per (topic, subject) without holes; `time` is UTC. An event of a feed has a
    `position`, 1, 2, 3 … over the whole topic, and a detached JWS as `signature` once it is stamped.
    """

    id: uuid.UUID
    source: str
    type: str
    topic: Topic
    subject: str
    sequence: int
    time: datetime
    data: bytes
    dataschema: str
    traceparent: str | None = None
    causationid: str | None = None
    position: int | None = None
    signature: str | None = None

    @property
    def key(self) -> bytes:
        """The Kafka record key: the subject's bytes."""
        return self.subject.encode()


EventTypes = Mapping[str, type[Event]]
