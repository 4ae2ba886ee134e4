"""Base types of all events: topics, the event, and its envelope."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from shared.effect_ids import effect_id
from shared.vocabulary import RenewalId, SubscriberId


class Topic(StrEnum):
    """A Kafka topic; each has exactly one writing service."""

    IDENTITY = "identity.events"
    EVIDENCE = "identity.evidence"
    REGISTER = "identity.register"
    APPLICATION = "application.events"
    PAYMENT = "payment.events"
    MAILING = "mailing.events"
    ISSUANCE = "issuance.events"
    PIN_ENVELOPES = "issuance.pin-envelopes"


# Topics that outsiders read by position: their events are numbered and signed before they are sent.
FEEDS: Final = frozenset({Topic.ISSUANCE})

# Neither the desk nor the reconciliation reads these: sealed PINs are for mailing alone, evidence for nobody but its
# own writer after a restore, the register's persons for the services that act on their changes.
CONFIDENTIAL: Final = frozenset({Topic.PIN_ENVELOPES, Topic.EVIDENCE, Topic.REGISTER})


@dataclass(frozen=True, kw_only=True)
class Event(ABC):
    """An event; its data, without the envelope."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[Topic]

    @property
    @abstractmethod
    def subject(self) -> uuid.UUID:
        """The key: events with one key are applied in the order in which they were announced."""


@dataclass(frozen=True, kw_only=True)
class RenewalEvent(Event):
    """An event about one renewal."""

    renewal_id: RenewalId

    @property
    def subject(self) -> uuid.UUID:
        """The renewal's id."""
        return self.renewal_id


@dataclass(frozen=True, kw_only=True)
class SubscriberEvent(Event):
    """An event about one subscriber, or a person who acts for it."""

    subscriber_id: SubscriberId

    @property
    def subject(self) -> uuid.UUID:
        """UUIDv5 of the subscriber's id: that id is any text, and the key of every event is a UUID."""
        return effect_id("subscriber", self.subscriber_id)


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event with its CloudEvents 1.0 attributes and its encoded data.

    `sequence` counts 1, 2, 3 … per (topic, subject) without gaps; `time` is UTC. A stamped event of a feed has a
    `position`, 1, 2, 3 … over the whole topic, and a detached JWS as `signature`.
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
        """The key of the Kafka record: the subject's bytes."""
        return self.subject.encode()


EventTypes = Mapping[str, type[Event]]
