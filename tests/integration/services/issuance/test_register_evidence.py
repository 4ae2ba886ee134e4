"""Register evidence at issuance: 398 days of organisation and authority, to the second; a lapse refuses nobody."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.events.issuance import IssuanceDelayed, Obstacle
from shared.security.proofs import ProofRefused
from tests.integration.services.issuance.test_waiting_intents import wait_for_a_signature
from tests.integration.services.issuance.world import World
from tests.unit.services.issuance.pki import NOW

DAYS_398 = timedelta(days=398)
SECOND = timedelta(seconds=1)


def claims(organisation: datetime | None, authority: datetime | None) -> dict[str, Any]:
    """Return what the attestation says."""
    said = {"organisation_verified_at": organisation, "authority_verified_at": authority}
    return {name: None if at is None else at.isoformat() for name, at in said.items()}


OBJECTIONS: dict[str, tuple[dict[str, Any], str | None]] = {
    "both on the last second": (claims(NOW - DAYS_398, NOW - DAYS_398), None),
    "both just now": (claims(NOW, NOW), None),
    "organisation a second over": (claims(NOW - DAYS_398 - SECOND, NOW), "organisation-evidence-lapsed"),
    "authority a second over": (claims(NOW, NOW - DAYS_398 - SECOND), "authority-evidence-lapsed"),
    "both over": (claims(NOW - 2 * DAYS_398, NOW - 2 * DAYS_398), "organisation-evidence-lapsed"),
    "organisation in the future": (claims(NOW + SECOND, NOW), "organisation-evidence-lapsed"),
    "authority in the future": (claims(NOW, NOW + SECOND), "authority-evidence-lapsed"),
    "organisation unknown": (claims(None, NOW), "evidence-unknown"),
    "authority unknown": (claims(NOW, None), "evidence-unknown"),
    "nothing known": (claims(None, None), "evidence-unknown"),
}


@pytest.mark.parametrize(("attestation", "objection"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_certificate_is_issued_on_evidence_of_at_most_398_days(
    world: World, attestation: dict[str, Any], objection: str | None
) -> None:
    renewal = world.opened(["www.example.hk"], attestation=attestation)
    world.submit(renewal)
    if objection is None:
        assert world.issue()
        assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
        return
    assert world.issue()
    [delayed] = [each for each in world.announced(renewal.renewal_id) if isinstance(each, IssuanceDelayed)]
    assert delayed.obstacles == (Obstacle(server_name="www.example.hk", kind="evidence", reason=objection),)
    assert world.rows("SELECT state FROM orders") == [("csr-received",)]
    assert world.rows("SELECT 1 FROM intents") == []
    assert world.rows("SELECT DISTINCT state FROM pins") != [("spent",)]


def test_intent_whose_evidence_lapses_before_the_signature_is_not_signed(world: World) -> None:
    verified_at = NOW - DAYS_398 + timedelta(minutes=1)
    renewal = wait_for_a_signature(world, attestation=claims(verified_at, NOW))
    world.now = verified_at + DAYS_398 + SECOND
    world.issue()
    assert world.rows("SELECT state FROM intents") == [("intended",)]
    assert world.announced_types(renewal.renewal_id)[-1] == "csr-received"


def test_attestation_with_a_date_without_a_zone_opens_no_order(world: World) -> None:
    """Evidence that cannot be read is a fault of identity's, for a person: never an age."""
    with pytest.raises(ProofRefused):
        world.opened(["www.example.hk"], attestation={"organisation_verified_at": "2026-11-01T00:00:00"})
