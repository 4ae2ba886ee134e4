"""Operators' commands that renew register evidence with four-eyes approval, as at the desk."""

import argparse
import uuid
from datetime import datetime, timedelta
from typing import Final

from services.identity import evidence_renewal
from services.identity.domain import RegisterEvidence
from services.identity.evidence_store import EvidenceKind
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.tx import Tx

_LIMIT: Final = 1000


def commands() -> dict[str, OperatorCommand]:
    """Return `list`, `propose KIND ID`, `approve PROPOSAL` and `reject PROPOSAL`."""
    return {
        "list": OperatorCommand(
            help="list evidence that is unknown or about to lapse, and proposals to renew it",
            run=in_transaction(_list),
            add_arguments=_list_arguments,
            while_recovering=True,
        ),
        "propose": OperatorCommand(
            help="propose evidence of a new verification; another person approves it, here or at the desk",
            run=in_transaction(_propose),
            add_arguments=_propose_arguments,
            while_recovering=True,
        ),
        "approve": OperatorCommand(
            help="approve the evidence that another person proposed",
            run=in_transaction(_approve),
            add_arguments=_proposal_arguments,
            while_recovering=True,
        ),
        "reject": OperatorCommand(
            help="reject proposed evidence; the record keeps its own",
            run=in_transaction(_reject),
            add_arguments=_proposal_arguments,
            while_recovering=True,
        ),
    }


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=60, help="list what lapses within so many days (default: 60)")


def _propose_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", type=EvidenceKind, choices=[*EvidenceKind], help="kind of the evidence")
    parser.add_argument("id", help="id of the subscriber (organisation) or of the AR (authority)")
    parser.add_argument("--verified-at", type=_time, required=True, help="time of the verification, ISO 8601 with zone")
    parser.add_argument("--source", required=True, help="source of the verification")
    parser.add_argument("--checker", required=True, help="name of the person who verified it")
    parser.add_argument("--reason", required=True, help="reason for the audit log")


def _proposal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("proposal", type=uuid.UUID)
    parser.add_argument("--reason", required=True, help="reason for the audit log")


def _time(text: str) -> datetime:
    """Return a time. Raises ValueError if it has no zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a zone is needed")
    return found


def _list(tx: Tx, options: argparse.Namespace) -> Report:
    rows = evidence_renewal.lapsing(tx, within=timedelta(days=options.days), limit=_LIMIT)
    return Report(
        values=[
            {
                "kind": str(each.record.kind),
                "id": each.record.id,
                "name": each.record.name,
                "verified_at": each.record.verified_at,
                "until": each.until,
                "proposal": None if each.proposed is None else str(each.proposed.proposal.id),
            }
            for each in rows
        ]
    )


def _propose(tx: Tx, options: argparse.Namespace) -> Report:
    evidence = RegisterEvidence(verified_at=options.verified_at, source=options.source, checker=options.checker)
    made = evidence_renewal.propose(tx, options.kind, options.id, evidence, actor=options.actor, reason=options.reason)
    return Report(values={"proposal": str(made)}, text=f"proposed as {made}; another person must approve it")


def _approve(tx: Tx, options: argparse.Namespace) -> Report:
    done = evidence_renewal.approve(tx, options.proposal, actor=options.actor, reason=options.reason)
    verified_at = done.evidence.verified_at
    values = {"kind": str(done.kind), "id": done.subject, "verified_at": verified_at}
    return Report(values=values, text=f"{done.kind} of {done.subject}: verified at {verified_at.isoformat()}")


def _reject(tx: Tx, options: argparse.Namespace) -> Report:
    done = evidence_renewal.reject(tx, options.proposal, actor=options.actor, reason=options.reason)
    return Report(values={"kind": str(done.kind), "id": done.subject}, text=f"{done.subject} keeps its evidence")
