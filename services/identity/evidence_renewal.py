"""Renewal of register evidence with four-eyes approval: one person proposes what was verified, another approves it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.identity import evidence_store, records
from services.identity.domain import RegisterEvidence
from services.identity.evidence_store import EvidenceKind, Listed, Proposal
from services.identity.refusals import EvidenceNotLater, EvidenceUnusable, RecordNotFound
from shared import audit
from shared.audit import Detail
from shared.operators.skip_proposals import ApprovalByAnotherPersonRequired, NoSuchProposal, is_same_person
from shared.pki.dated_rules import organisation_reusable, organisation_reusable_until
from shared.tx import Tx
from shared.validation.subscriber_record import RecordRefused


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record with the last moment at which its evidence can be used, None if unknown, and its open proposal."""

    record: Listed
    until: datetime | None
    proposal: Proposal | None


def lapsing(tx: Tx, *, within: timedelta, limit: int) -> list[Row]:
    """Return the records whose evidence is unknown or lapses within this time, or is proposed to be renewed."""
    age = organisation_reusable_until(tx.now, tx.now) - tx.now
    found = evidence_store.find_oldest(tx.conn, before=tx.now - age + within, limit=limit)
    return _rows(tx, found)


def find(tx: Tx, kind: EvidenceKind, subject: str) -> Row:
    """Return one record. Raises RecordNotFound."""
    (row,) = _rows(tx, [_found(evidence_store.find_record(tx.conn, kind, subject), subject)])
    return row


def _rows(tx: Tx, found: Sequence[Listed]) -> list[Row]:
    proposals = {(each.kind, each.subject): each for each in evidence_store.find_open_proposals(tx.conn)}
    return [
        Row(
            record=each,
            until=None if each.verified_at is None else organisation_reusable_until(each.verified_at, tx.now),
            proposal=proposals.get((each.kind, each.id)),
        )
        for each in found
    ]


def _found(record: Listed | None, subject: str) -> Listed:
    if record is None:
        raise RecordNotFound(f"{subject}: there is no such subscriber, or no such Authorised Representative in office")
    return record


def propose(
    tx: Tx, kind: EvidenceKind, subject: str, evidence: RegisterEvidence, *, actor: str, reason: str
) -> uuid.UUID:
    """Propose evidence of a later verification. Returns the proposal's id.

    Raises RecordNotFound, EvidenceUnusable, EvidenceNotLater or EvidenceProposed.
    """
    _check(tx, evidence_store.lock_record(tx.conn, kind, subject), subject, evidence)
    proposal = Proposal(
        id=tx.new_id(),
        kind=kind,
        subject=subject,
        verified_at=evidence.verified_at,
        source=evidence.source,
        checker=evidence.checker,
        reason=reason,
        proposed_by=actor,
        proposed_at=tx.now,
    )
    evidence_store.add_proposal(tx.conn, proposal)
    _note(tx, "evidence-proposed", proposal, actor=actor, reason=reason)
    return proposal.id


def approve(tx: Tx, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposal:
    """Renew the evidence as another person proposed. Returns the proposal.

    Raises NoSuchProposal, ApprovalByAnotherPersonRequired, and the errors of propose; the proposal then stays open.
    """
    proposal = _lock(tx, proposal_id)
    if is_same_person(proposal.proposed_by, actor):
        raise ApprovalByAnotherPersonRequired("another person must approve what you proposed")
    record = evidence_store.lock_record(tx.conn, proposal.kind, proposal.subject)
    _check(tx, record, proposal.subject, proposal.evidence)
    evidence_store.save_evidence(tx.conn, proposal.kind, proposal.subject, proposal.evidence)
    evidence_store.decide(tx.conn, proposal.id, "approved", actor=actor, reason=reason, now=tx.now)
    _note(tx, "evidence-renewed", proposal, actor=actor, reason=reason)
    return proposal


def reject(tx: Tx, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposal:
    """Reject a proposal; the proposer may withdraw it this way, too. Raises NoSuchProposal."""
    proposal = _lock(tx, proposal_id)
    evidence_store.decide(tx.conn, proposal.id, "rejected", actor=actor, reason=reason, now=tx.now)
    _note(tx, "evidence-rejected", proposal, actor=actor, reason=reason)
    return proposal


def _lock(tx: Tx, proposal_id: uuid.UUID) -> Proposal:
    found = evidence_store.lock_proposal(tx.conn, proposal_id)
    if found is None:
        raise NoSuchProposal("there is no such proposal, or it was decided on")
    return found


def _check(tx: Tx, record: Listed | None, subject: str, evidence: RegisterEvidence) -> None:
    known = _found(record, subject)
    try:
        records.check_evidence(evidence, tx.now)
    except RecordRefused as refused:
        raise EvidenceUnusable(f"{refused}") from refused
    if not organisation_reusable(evidence.verified_at, tx.now):
        raise EvidenceUnusable("this verification has lapsed already")
    if known.verified_at is not None and evidence.verified_at <= known.verified_at:
        raise EvidenceNotLater(f"{subject} was verified at {known.verified_at.isoformat()} already")


def _note(tx: Tx, action: str, proposal: Proposal, *, actor: str, reason: str) -> None:
    details: dict[str, Detail] = {
        "proposal": str(proposal.id),
        "kind": proposal.kind,
        "verified_at": proposal.verified_at.isoformat(),
        "source": proposal.source,
        "checker": proposal.checker,
        "proposed_by": proposal.proposed_by,
        "reason": reason,
    }
    audit.record(tx, actor=actor, action=action, subject=proposal.subject, details=details)
