"""Four-eyes approval: one person proposes an action with a reason, another approves or rejects it.

Who approves performs the action, in the transaction of the approval.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared import audit
from shared.audit import Detail
from shared.db import Conn
from shared.errors import Refused
from shared.tx import Tx

# Actor prefix reserved for desk staff in the audit log.
DESK_ACTOR: Final = "staff "


class AlreadyProposed(Refused):
    """The action is proposed already."""

    reason = "already-proposed"


class NoSuchProposal(Refused):
    """No such proposal awaits a decision."""

    reason = "no-such-proposal"


class ApprovalByAnotherPersonRequired(Refused):
    """A proposal must be approved by another person."""

    reason = "second-person-needed"


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action that needs four-eyes approval, on one `target`, for which only one proposal is open at a time.

    Audit records are about `subject`, and have the `content`.
    """

    name: str
    target: str
    subject: str
    content: Mapping[str, Detail]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposal that awaits, or awaited, another person's approval."""

    id: uuid.UUID
    action: str
    target: str
    subject: str
    content: Mapping[str, str]
    reason: str
    proposed_by: str
    proposed_at: datetime


_COLUMNS: Final = "id, action, target, subject, content, reason, proposed_by, proposed_at"


def find_open(conn: Conn, action: str) -> list[Proposal]:
    """Return the open proposals of an action, oldest first."""
    with conn.cursor(row_factory=class_row(Proposal)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM proposals WHERE action = %s AND decision IS NULL ORDER BY proposed_at, id",
            (action,),
        ).fetchall()


def propose(tx: Tx, action: Action, *, actor: str, reason: str) -> uuid.UUID:
    """Propose an action. Returns the proposal's id. Raises AlreadyProposed."""
    proposal = Proposal(
        id=tx.new_id(),
        action=action.name,
        target=action.target,
        subject=action.subject,
        content={name: str(value) for name, value in action.content.items()},
        reason=reason,
        proposed_by=actor,
        proposed_at=tx.now,
    )
    try:
        with tx.conn.transaction():
            tx.conn.execute(
                f"""INSERT INTO proposals ({_COLUMNS}) VALUES (%(id)s, %(action)s, %(target)s, %(subject)s,
                        %(content)s, %(reason)s, %(proposed_by)s, %(proposed_at)s)""",
                vars(proposal) | {"content": Jsonb(proposal.content)},
            )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyProposed("this is proposed already: approve or reject it") from error
    _note(tx, proposal, "proposed", actor=actor, reason=reason)
    return proposal.id


def approve(tx: Tx, action: str, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposal:
    """Approve what another person proposed. Returns the proposal, for the caller to perform.

    Raises NoSuchProposal or ApprovalByAnotherPersonRequired.
    """
    proposal = _lock(tx.conn, action, proposal_id)
    if is_same_person(proposal.proposed_by, actor):
        raise ApprovalByAnotherPersonRequired("another person must approve what you proposed")
    _decide(tx, proposal, "approved", actor=actor, reason=reason)
    return proposal


def reject(tx: Tx, action: str, proposal_id: uuid.UUID, *, actor: str, reason: str) -> Proposal:
    """Reject a proposal; the proposer may withdraw it this way, too. Returns it. Raises NoSuchProposal."""
    proposal = _lock(tx.conn, action, proposal_id)
    _decide(tx, proposal, "rejected", actor=actor, reason=reason)
    return proposal


def is_same_person(first: str, second: str) -> bool:
    """Return whether two actors are one person, at the desk or on the command line, in whatever spelling."""
    return _person(first) == _person(second)


def _person(actor: str) -> str:
    return " ".join(actor.removeprefix(DESK_ACTOR).split()).casefold()


def _lock(conn: Conn, action: str, proposal_id: uuid.UUID) -> Proposal:
    with conn.cursor(row_factory=class_row(Proposal)) as cursor:
        found = cursor.execute(
            f"SELECT {_COLUMNS} FROM proposals WHERE id = %s AND action = %s AND decision IS NULL FOR UPDATE",
            (proposal_id, action),
        ).fetchone()
    if found is None:
        raise NoSuchProposal("there is no such proposal, or it was decided on")
    return found


def _decide(tx: Tx, proposal: Proposal, decision: str, *, actor: str, reason: str) -> None:
    tx.conn.execute(
        """UPDATE proposals SET decision = %s, decided_by = %s, decided_at = %s, decision_reason = %s WHERE id = %s""",
        (decision, actor, tx.now, reason, proposal.id),
    )
    _note(tx, proposal, decision, actor=actor, reason=reason)


def _note(tx: Tx, proposal: Proposal, step: str, *, actor: str, reason: str) -> None:
    details: dict[str, Detail] = {
        **proposal.content,
        "proposal": str(proposal.id),
        "proposed_by": proposal.proposed_by,
        "reason": reason,
    }
    audit.record(tx, actor=actor, action=f"{proposal.action}-{step}", subject=proposal.subject, details=details)
