"""Renewal of register evidence with four-eyes approval: one person proposes what was verified, another approves it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.identity import evidence_store, records
from services.identity.domain import RegisterEvidence
from services.identity.evidence_store import EvidenceKind, Listed
from services.identity.refusals import EvidenceNotLater, EvidenceUnusable, RecordNotFound
from shared.operators import proposals
from shared.operators.proposals import Action, Proposal
from shared.pki.dated_rules import organisation_reusable, organisation_reusable_until
from shared.tx import Tx
from shared.validation.subscriber_record import RecordRefused

_EVIDENCE: Final = "evidence"


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A proposal to renew evidence, as a proposal and as what it says."""

    proposal: Proposal
    kind: EvidenceKind
    evidence: RegisterEvidence

    @property
    def subject(self) -> str:
        """Id of the subscriber or AR."""
        return self.proposal.subject


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record with the last moment at which its evidence can be used, None if unknown, and its open proposal."""

    record: Listed
    until: datetime | None
    proposed: Proposed | None


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
    proposed = {each.target: _read(each) for each in proposals.find_open(tx.conn, _EVIDENCE)}
    return [
        Row(
            record=each,
            until=None if each.verified_at is None else organisation_reusable_until(each.verified_at, tx.now),
            proposed=proposed.get(f"{each.kind}/{each.id}"),
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

    Raises RecordNotFound, EvidenceUnusable, EvidenceNotLater or AlreadyProposed.
    """
    _check(tx, evidence_store.lock_record(tx.conn, kind, subject), subject, evidence)
    content = {"kind": str(kind), **vars(evidence), "verified_at": evidence.verified_at.isoformat()}
    action = Action(name=_EVIDENCE, target=f"{kind}/{subject}", subject=subject, content=content)
    return proposals.propose(tx, action, actor=actor, reason=reason)


def approve(tx: Tx, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposed:
    """Renew the evidence as another person proposed. Returns what was proposed.

    Raises NoSuchProposal, ApprovalByAnotherPersonRequired, and the errors of propose; the proposal then stays open.
    """
    proposed = _read(proposals.approve(tx, _EVIDENCE, proposal_id, actor=actor, reason=reason))
    record = evidence_store.lock_record(tx.conn, proposed.kind, proposed.subject)
    _check(tx, record, proposed.subject, proposed.evidence)
    evidence_store.save_evidence(tx.conn, proposed.kind, proposed.subject, proposed.evidence)
    return proposed


def reject(tx: Tx, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposed:
    """Reject a proposal; the proposer may withdraw it this way, too. Raises NoSuchProposal."""
    return _read(proposals.reject(tx, _EVIDENCE, proposal_id, actor=actor, reason=reason))


def _read(proposal: Proposal) -> Proposed:
    content = proposal.content
    evidence = RegisterEvidence(
        verified_at=datetime.fromisoformat(content["verified_at"]),
        source=content["source"],
        checker=content["checker"],
    )
    return Proposed(proposal=proposal, kind=EvidenceKind(content["kind"]), evidence=evidence)


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
