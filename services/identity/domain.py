"""Subscribers and their Authorised Representatives."""

from dataclasses import dataclass
from datetime import datetime

from shared.vocabulary import ARId, SubscriberId


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """An organisation that holds e-Certs (Server)."""

    id: SubscriberId
    name: str
    name_zh: str | None
    brn: str
    country: str
    state_or_province: str | None
    locality: str | None


@dataclass(frozen=True, kw_only=True)
class AuthorisedRepresentative:
    """A person who acts, or acted, for a subscriber."""

    id: ARId
    subscriber_id: SubscriberId
    name: str
    name_zh: str | None
    email: str
    address: list[str]
    appointed_at: datetime
    ended_at: datetime | None
