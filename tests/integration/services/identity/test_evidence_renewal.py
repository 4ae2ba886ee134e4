"""Renewal of register evidence with four-eyes approval: by command, and by the operator API."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.identity import enrolment, evidence_commands, evidence_renewal, evidence_store, main, store
from services.identity.domain import RegisterEvidence
from services.identity.evidence_store import EvidenceKind
from services.identity.operator_api import OPERATIONS
from services.identity.refusals import EvidenceNotLater, EvidenceUnusable, RecordNotFound
from shared.db import Pool
from shared.operators.proposals import AlreadyProposed, ApprovalByAnotherPersonRequired, NoSuchProposal
from shared.pki.dated_rules import ORGANISATION_REUSE_DAYS
from shared.runtime.command_line import run
from shared.tx import transaction
from shared.vocabulary import ARId, SubscriberId
from tests.integration.services.identity.conftest import EVIDENCE, Clock, count, people
from tests.support.operators import Desk
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import NOW

pytestmark = pytest.mark.usefixtures("enrolled")
ORGANISATION, AUTHORITY = EvidenceKind.ORGANISATION, EvidenceKind.AUTHORITY
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def evidence(at: datetime = NOW - DAY, **changes: Any) -> RegisterEvidence:
    return replace(RegisterEvidence(verified_at=at, source="Registry, extract", checker="Officer 9"), **changes)


def propose(
    pool: Pool, clock: Clock, kind: EvidenceKind, subject: str, found: RegisterEvidence, actor: str = "lau"
) -> uuid.UUID:
    with transaction(pool, clock=clock) as tx:
        return evidence_renewal.propose(tx, kind, subject, found, actor=actor, reason="lapses soon")


def approve(pool: Pool, clock: Clock, proposal: uuid.UUID, actor: str = "tsang") -> None:
    with transaction(pool, clock=clock) as tx:
        evidence_renewal.approve(tx, proposal, actor=actor, reason="seen")


def kept(pool: Pool, kind: EvidenceKind, subject: str) -> RegisterEvidence | None:
    with transaction(pool) as tx:
        if kind is ORGANISATION:
            found = store.find_subscriber(tx.conn, SubscriberId(subject))
            return None if found is None else found.evidence
        ar = store.lock_ar(tx.conn, ARId(subject))
        return None if ar is None else ar.evidence


@pytest.mark.parametrize(("kind", "subject"), [(ORGANISATION, "example"), (AUTHORITY, "chan")])
def test_evidence_is_renewed_once_another_person_approves(
    pool: Pool, clock: Clock, kind: EvidenceKind, subject: str
) -> None:
    proposal = propose(pool, clock, kind, subject, evidence())
    assert kept(pool, kind, subject) == EVIDENCE
    for same in ("lau", "staff lau", "  LAU "):
        with pytest.raises(ApprovalByAnotherPersonRequired):
            approve(pool, clock, proposal, same)
    approve(pool, clock, proposal)
    assert kept(pool, kind, subject) == evidence()
    with pytest.raises(NoSuchProposal):
        approve(pool, clock, proposal)
    with pool.connection() as conn:
        audited = conn.execute(
            "SELECT actor, action, subject, details->>'checker', details->>'proposed_by' FROM audit_log"
            " WHERE action LIKE 'evidence-%' ORDER BY id"
        ).fetchall()
    assert audited == [
        ("lau", "evidence-proposed", subject, "Officer 9", "lau"),
        ("tsang", "evidence-approved", subject, "Officer 9", "lau"),
    ]


REFUSED: list[tuple[str, RegisterEvidence, type[Exception]]] = [
    ("nobody", evidence(), RecordNotFound),
    ("example", evidence(NOW + SECOND), EvidenceUnusable),
    ("example", evidence(source="n/a"), EvidenceUnusable),
    ("example", evidence(checker=""), EvidenceUnusable),
    ("example", evidence(NOW - 398 * DAY - SECOND), EvidenceUnusable),
    ("example", evidence(EVIDENCE.verified_at), EvidenceNotLater),
    ("example", evidence(EVIDENCE.verified_at - SECOND), EvidenceNotLater),
]


@pytest.mark.parametrize(("subject", "found", "refusal"), REFUSED)
def test_evidence_that_renews_nothing_is_refused(
    pool: Pool, clock: Clock, subject: str, found: RegisterEvidence, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        propose(pool, clock, ORGANISATION, subject, found)
    assert count(pool, "proposals") == 0


def test_record_has_one_open_proposal_at_a_time(pool: Pool, clock: Clock) -> None:
    first = propose(pool, clock, ORGANISATION, "example", evidence())
    with pytest.raises(AlreadyProposed):
        propose(pool, clock, ORGANISATION, "example", evidence(NOW))
    propose(pool, clock, ORGANISATION, "other", evidence())
    with transaction(pool, clock=clock) as tx:
        evidence_renewal.reject(tx, first, actor="lau", reason="a mistake")
    assert kept(pool, ORGANISATION, "example") == EVIDENCE
    approve(pool, clock, propose(pool, clock, ORGANISATION, "example", evidence(NOW)))
    assert kept(pool, ORGANISATION, "example") == evidence(NOW)


def test_approval_checks_again_what_was_proposed(pool: Pool, clock: Clock) -> None:
    """Meanwhile a file with a later verification was enrolled, or the AR's office has ended."""
    overtaken = propose(pool, clock, ORGANISATION, "example", evidence(NOW - DAY))
    content = people()
    content["subscribers"][0]["evidence"] = evidence(NOW)
    enrolment.enrol(pool, content, "test", clock=clock)
    with pytest.raises(EvidenceNotLater):
        approve(pool, clock, overtaken)
    ended = propose(pool, clock, AUTHORITY, "chan", evidence())
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "test")
    with pytest.raises(RecordNotFound):
        approve(pool, clock, ended)


def test_same_file_again_keeps_renewed_evidence(pool: Pool, clock: Clock) -> None:
    approve(pool, clock, propose(pool, clock, ORGANISATION, "example", evidence()))
    approve(pool, clock, propose(pool, clock, AUTHORITY, "chan", evidence()))
    enrolment.enrol(pool, people(), "test", clock=clock)
    assert kept(pool, ORGANISATION, "example") == kept(pool, AUTHORITY, "chan") == evidence()


@pytest.mark.parametrize(
    ("left", "listed"), [(60 * DAY + SECOND, False), (60 * DAY, False), (60 * DAY - SECOND, True), (-DAY, True)]
)
def test_list_has_what_lapses_within_the_time(pool: Pool, clock: Clock, left: timedelta, listed: bool) -> None:
    clock.now = EVIDENCE.verified_at + ORGANISATION_REUSE_DAYS.at(NOW) * DAY - left
    with transaction(pool, clock=clock) as tx:
        rows = evidence_renewal.lapsing(tx, within=60 * DAY, limit=100)
    found = [(str(each.record.kind), each.record.id, each.until) for each in rows]
    until = EVIDENCE.verified_at + 398 * DAY
    every = [("authority", each, until) for each in ("chan", "lee", "wong")]
    every += [("organisation", each, until) for each in ("example", "other")]
    assert found == (every if listed else [])


def test_list_begins_with_unknown_evidence_and_has_every_proposal(pool: Pool, clock: Clock) -> None:
    proposal = propose(pool, clock, AUTHORITY, "lee", evidence())
    with pool.connection() as conn:
        conn.execute("UPDATE subscribers SET verified_at = NULL, source = NULL, checker = NULL WHERE id = 'other'")
    with transaction(pool, clock=clock) as tx:
        rows = evidence_renewal.lapsing(tx, within=60 * DAY, limit=100)
    assert [(each.record.id, each.until is None, each.proposed and each.proposed.proposal.id) for each in rows] == [
        ("other", True, None),
        ("lee", False, proposal),
    ]


@pytest.mark.parametrize(("left", "organisations"), [(45 * DAY, 0), (45 * DAY - SECOND, 2)])
def test_gauge_counts_what_lapses_within_45_days(pool: Pool, clock: Clock, left: timedelta, organisations: int) -> None:
    """The query's 353 days are the dated table's, less 45."""
    clock.now = EVIDENCE.verified_at + ORGANISATION_REUSE_DAYS.at(NOW) * DAY - left
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("wong"), "left", "test")
        rows = [*tx.conn.execute(evidence_store.LAPSING, {"now": clock.now})]
    assert sorted(rows) == [("authority", organisations), ("organisation", organisations)]


@pytest.mark.usefixtures("environment")
def test_commands_renew_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> Any:
        run(main.SERVICE, ["renew-evidence", *arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    verified = ("--verified-at", at, "--source", "Registry", "--checker", "Officer 9")
    why = ("--reason", "lapses soon")
    made = command("propose", "organisation", "example", *verified, *why, "--actor", "lau")["proposal"]
    assert [each["proposal"] for each in command("list", "--actor", "lau")] == [made]
    with pytest.raises(SystemExit, match="second-person-needed"):
        command("approve", made, *why, "--actor", "lau")
    assert command("approve", made, *why, "--actor", "tsang")["id"] == "example"
    other = command("propose", "authority", "chan", *verified, *why, "--actor", "lau")["proposal"]
    assert command("reject", other, *why, "--actor", "lau")["id"] == "chan"
    assert command("list", "--actor", "lau", "--days", "0") == []
    for bad in ("2026-11-22", "2026-11-22T09:00:00"):
        with pytest.raises(SystemExit):
            command("propose", "authority", "chan", "--verified-at", bad, *verified[2:], *why, "--actor", "lau")


def test_operator_api_lists_proposes_and_approves(pool: Pool) -> None:
    desk = Desk.of("identity", OPERATIONS, pool, NOW)
    body = {
        "kind": "organisation",
        "id": "example",
        "verified_at": evidence().verified_at.isoformat(),
        "source": "Registry, extract",
        "checker": "Officer 9",
        "reason": "lapses soon",
    }
    made = desk.ask("POST", "evidence-proposals", "propose-evidence", **body)
    assert made.status_code == 201, made.text
    again = desk.ask("POST", "evidence-proposals", "propose-evidence", **body)
    assert full_problem(again)[:2] == (409, "already-proposed")
    (record,) = desk.ask("GET", "register-evidence", "see-evidence").get_json()["records"]
    assert (record["id"], record["source"], record["proposal"]["checker"]) == (
        "example",
        EVIDENCE.source,
        "Officer 9",
    )
    path = f"evidence-proposals/{record['proposal']['id']}"
    assert full_problem(desk.ask("POST", f"{path}/approval", "decide-evidence", reason="mine"))[:2] == (
        403,
        "second-person-needed",
    )
    assert desk.ask("POST", f"{path}/rejection", "decide-evidence", reason="withdrawn").status_code == 204
    assert full_problem(desk.ask("POST", f"{path}/approval", "decide-evidence", reason="late"))[1] == "no-such-proposal"
    one = desk.ask("GET", "register-evidence?kind=authority&id=chan", "see-evidence").get_json()["records"]
    assert [(each["id"], each["subscriber_id"], each["proposal"]) for each in one] == [("chan", "example", None)]
    unknown = desk.ask("GET", "register-evidence?kind=authority&id=nobody", "see-evidence")
    assert full_problem(unknown)[:2] == (404, "record-not-found")
    assert evidence_commands.commands().keys() == {"list", "propose", "approve", "reject"}
