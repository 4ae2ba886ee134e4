"""Subscribers and their Authorised Representatives."""

from dataclasses import dataclass, replace
from datetime import datetime

from shared.vocabulary import ARId, SubscriberId


@dataclass(frozen=True, kw_only=True)
class RegisterEvidence:
    """The last verification of an organisation's data, or of an AR's authority to act for it, by the CA."""

    verified_at: datetime
    source: str
    checker: str


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """An organisation that holds e-Certs (Server). `evidence` is None in records from before it was kept."""

    id: SubscriberId
    name: str
    name_zh: str | None
    brn: str
    country: str
    state_or_province: str | None
    locality: str | None
    evidence: RegisterEvidence | None = None

    def with_evidence(self, evidence: RegisterEvidence | None) -> "Subscriber":
        """Return the same organisation with other evidence."""
        return replace(self, evidence=evidence)


@dataclass(frozen=True, kw_only=True)
class AuthorisedRepresentative:
    """A person who acts, or acted, for a subscriber. `evidence` is of their authority, as for a subscriber."""

    id: ARId
    subscriber_id: SubscriberId
    name: str
    name_zh: str | None
    email: str
    address: list[str]
    appointed_at: datetime
    ended_at: datetime | None
    evidence: RegisterEvidence | None = None


def newer(first: RegisterEvidence | None, second: RegisterEvidence | None) -> RegisterEvidence | None:
    """Return the evidence of the later verification."""
    if first is None or second is None:
        return first or second
    return max(first, second, key=lambda each: each.verified_at)
