"""Age of register evidence: when identity last had an organisation, and its AR's authority, verified."""

from datetime import datetime
from typing import Final

from services.issuance.domain import Renewal
from shared.pki.dated_rules import organisation_reusable
from shared.security import proofs

UNKNOWN: Final = "evidence-unknown"
ORGANISATION: Final = "organisation-evidence-lapsed"
AUTHORITY: Final = "authority-evidence-lapsed"


def evidence_objection(renewal: Renewal, now: datetime) -> str | None:
    """Return why a certificate may not be signed now on the attested evidence, None if it may.

    The attestation's signature must have been verified. Baseline Requirements 4.2.1: organisation and authority were
    verified at most 398 days ago. An attestation without a date, from before identity kept them, proves no age.
    """
    dates = proofs.evidence_dates(renewal.attestation)
    if dates.organisation_verified_at is None or dates.authority_verified_at is None:
        return UNKNOWN
    if not organisation_reusable(dates.organisation_verified_at, now):
        return ORGANISATION
    if not organisation_reusable(dates.authority_verified_at, now):
        return AUTHORITY
    return None
