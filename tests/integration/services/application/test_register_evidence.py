"""Register evidence before money and post: a renewal that would outlast it is neither drafted nor submitted."""

from datetime import datetime, timedelta

import pytest

from shared.pki.dated_rules import ORGANISATION_REUSE_DAYS
from tests.integration.services.application.world import EVIDENCE_MARGIN, WWW, World, body
from tests.support.builders import NOW
from tests.support.problems import full_problem

OLDEST = NOW - timedelta(days=ORGANISATION_REUSE_DAYS.at(NOW)) + EVIDENCE_MARGIN
SECOND = timedelta(seconds=1)
UNKNOWN = "evidence-unknown"
LAPSING = "evidence-lapsing"


def said(organisation: datetime | None, authority: datetime | None) -> dict[str, str | None]:
    """Return identity's claims."""
    times = {"organisation_verified_at": organisation, "authority_verified_at": authority}
    return {name: None if time is None else time.isoformat() for name, time in times.items()}


CASES = {
    "old enough for a second less": (said(OLDEST, OLDEST), None),
    "organisation a second older": (said(OLDEST - SECOND, NOW), LAPSING),
    "authority a second older": (said(NOW, OLDEST - SECOND), LAPSING),
    "organisation unknown": (said(None, NOW), UNKNOWN),
    "authority unknown": (said(NOW, None), UNKNOWN),
}


@pytest.mark.parametrize(("claims", "reason"), CASES.values(), ids=CASES)
def test_draft_is_made_only_on_evidence_that_outlasts_the_renewal(
    world: World, claims: dict[str, str | None], reason: str | None
) -> None:
    world.signed_in_with = claims
    shown = {each["srn"]: each for each in body(world.get("/subscriptions"))}[WWW]
    assert shown["reason"] == reason
    if reason != UNKNOWN:
        oldest = min(datetime.fromisoformat(str(each)) for each in claims.values())
        assert shown["evidence_until"] == (oldest + timedelta(days=398)).isoformat()
    else:
        assert shown["evidence_until"] is None
    answer = world.post("/renewals", {"items": [{"srn": WWW}]})
    if reason is None:
        assert answer.status_code == 201
        return
    assert full_problem(answer) == (409, "not-eligible", reason)
    assert "Ask the CA to verify" in body(answer)["advice"]
    assert body(world.get("/renewals")) == []


@pytest.mark.parametrize(("claims", "reason"), CASES.values(), ids=CASES)
def test_submission_is_judged_by_the_times_in_the_attestation(
    world: World, claims: dict[str, str | None], reason: str | None
) -> None:
    renewal = world.draft(WWW)
    world.attested_with = claims
    answer = world.submit(renewal)
    if reason is None:
        assert answer.status_code == 200
        return
    assert full_problem(answer) == (409, "not-eligible", reason)
    assert world.state(renewal) == "draft"
    assert world.announced(renewal.id) == []


def test_attested_time_without_a_zone_is_no_attestation(world: World) -> None:
    renewal = world.draft(WWW)
    world.attested_with = {"organisation_verified_at": "2026-11-01T00:00:00"}
    assert full_problem(world.submit(renewal))[:2] == (409, "wrong-attestation")


def test_token_with_a_time_without_a_zone_is_refused(world: World) -> None:
    world.signed_in_with = {"authority_verified_at": "2026-11-01T00:00:00"}
    assert full_problem(world.get("/subscriptions"))[:2] == (401, "token-refused")
