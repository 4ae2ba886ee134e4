"""Register evidence at enrolment: a file's form, a verification that happened, and which of two is kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.identity import enrolment, store
from services.identity.domain import RegisterEvidence
from services.identity.refusals import EnrolmentRefused
from shared.db import Pool
from shared.tx import transaction
from shared.vocabulary import ARId, SubscriberId
from tests.integration.services.identity.conftest import Clock, ar, count, subscriber
from tests.integration.services.identity.test_enrolment import enrol
from tests.unit.services.identity.builders import NOW

EVIDENCE = {"verified_at": "2026-11-02T09:30:00+08:00", "source": "Companies Registry", "checker": "Officer 1"}


def record(**changes: Any) -> dict[str, Any]:
    """Return a subscriber as a file spells it."""
    return subscriber("a", "A", "12345678") | {"evidence": EVIDENCE} | changes


BAD_FILES = {
    "no evidence": json.dumps({"subscribers": [record(evidence=None)]}),
    "evidence without a checker": json.dumps({"subscribers": [record(evidence=EVIDENCE | {"checker": ""})]}),
    "evidence without a source": json.dumps({"subscribers": [record(evidence=EVIDENCE | {"source": None})]}),
    "a day": json.dumps({"subscribers": [record(evidence=EVIDENCE | {"verified_at": "2026-11-02"})]}),
    "a time without a zone": json.dumps(
        {"subscribers": [record(evidence=EVIDENCE | {"verified_at": "2026-11-02T09:30:00"})]}
    ),
    "an AR without evidence": json.dumps(
        {"subscribers": [record(authorised_representatives=[ar("chan", "C") | {"evidence": None}])]}
    ),
}


def test_file_without_whole_evidence_is_refused(tmp_path: Path) -> None:
    for what, text in BAD_FILES.items():
        (tmp_path / "file.json").write_text(text)
        with pytest.raises(EnrolmentRefused, match="evidence"):
            enrolment.read_file(tmp_path / "file.json")
            pytest.fail(what)


def test_enrolment_file_has_the_evidence_of_organisation_and_authority(tmp_path: Path) -> None:
    person = ar("chan", "CHAN Tai Man") | {"evidence": EVIDENCE}
    text = json.dumps({"subscribers": [record(authorised_representatives=[person])]})
    (tmp_path / "file.json").write_text(text)
    (read,) = enrolment.read_file(tmp_path / "file.json")["subscribers"]
    expected = RegisterEvidence(
        verified_at=datetime(2026, 11, 2, 1, 30, tzinfo=UTC), source="Companies Registry", checker="Officer 1"
    )
    assert read["evidence"] == read["authorised_representatives"][0]["evidence"] == expected


BAD_EVIDENCE: dict[str, dict[str, Any]] = {
    "verified_at": {"verified_at": NOW + timedelta(seconds=1)},
    "source": {"source": "n/a"},
    "checker": {"checker": "Officer\n1"},
}


@pytest.mark.parametrize(("field", "changes"), BAD_EVIDENCE.items())
def test_evidence_of_no_verification_is_refused(pool: Pool, clock: Clock, field: str, changes: dict[str, Any]) -> None:
    bad = {"evidence": verified(NOW, **changes)}
    for what, file in {
        "example": subscriber("example", "Example Limited", "12345678") | bad,
        "chan": subscriber("example", "Example Limited", "12345678", ar("chan", "CHAN Tai Man") | bad),
    }.items():
        with pytest.raises(EnrolmentRefused, match=f"{what}: {field}: "):
            enrol(pool, clock, {"subscribers": [file]})
    assert count(pool, "subscribers") == 0


def verified(at: datetime, **changes: Any) -> RegisterEvidence:
    return replace(RegisterEvidence(verified_at=at, source="Registry", checker="Officer 1"), **changes)


OLD, NEW = verified(NOW - timedelta(days=200)), verified(NOW - timedelta(days=1), checker="Officer 2")
SPELT = {"same": "Example Limited", "changed": "Example (Hong Kong) Limited"}


@pytest.mark.parametrize(
    ("name", "first", "second", "organisation", "authority"),
    [
        ("same", OLD, NEW, NEW, NEW),
        ("same", NEW, OLD, NEW, NEW),
        ("changed", OLD, NEW, NEW, NEW),
        # The newer verification was of another name.
        ("changed", NEW, OLD, OLD, NEW),
    ],
)
def test_later_verification_of_the_same_record_is_kept(
    pool: Pool,
    clock: Clock,
    name: str,
    first: RegisterEvidence,
    second: RegisterEvidence,
    organisation: RegisterEvidence,
    authority: RegisterEvidence,
) -> None:
    for spelt, evidence in (("same", first), (name, second)):
        of = {"evidence": evidence}
        person = ar("chan", "CHAN Tai Man") | of
        enrol(pool, clock, {"subscribers": [subscriber("example", SPELT[spelt], "12345678", person) | of]})
    with transaction(pool, clock=clock) as tx:
        kept, appointed = store.find_subscriber(tx.conn, SubscriberId("example")), store.lock_ar(tx.conn, ARId("chan"))
    assert kept is not None
    assert appointed is not None
    assert (kept.evidence, appointed.evidence) == (organisation, authority)
