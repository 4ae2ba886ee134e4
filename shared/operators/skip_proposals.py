"""Four-eyes approval of skips: one person proposes with a reason, another approves or rejects."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row

from shared import audit
from shared.db import Conn
from shared.errors import Refused
from shared.messaging import held_events
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.messaging.inbox import Place
from shared.operators import held_commands
from shared.tx import Tx

# Actor prefix reserved for desk staff in the audit log.
DESK_ACTOR: Final = "staff "


class AlreadyProposed(Refused):
    """A skip of this event is proposed already."""

    reason = "already-proposed"


class NoSuchProposal(Refused):
    """No such proposal awaits a decision."""

    reason = "no-such-proposal"


class ApprovalByAnotherPersonRequired(Refused):
    """A proposal must be approved by another person."""

    reason = "second-person-needed"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposal that awaits another person's approval."""

    id: uuid.UUID
    parked_id: int
    topic: str
    key: str
    event: str
    reason: str
    proposed_by: str
    proposed_at: datetime


_COLUMNS: Final = "id, parked_id, topic, key, event, reason, proposed_by, proposed_at"


def find_open(conn: Conn, consumer: str) -> list[Proposal]:
    """Return the consumer's open proposals, oldest first, without those whose event is no longer held."""
    with conn.cursor(row_factory=class_row(Proposal)) as cursor:
        return cursor.execute(
            f"""SELECT {_COLUMNS} FROM skip_proposals WHERE consumer = %s AND decision IS NULL
                AND EXISTS (SELECT 1 FROM parked_events AS p WHERE p.id = parked_id) ORDER BY proposed_at, id""",
            (consumer,),
        ).fetchall()


def propose(tx: Tx, held_event: HeldEvent, *, actor: str, reason: str) -> uuid.UUID:
    """Propose to skip this event. Returns the proposal's id. Raises AlreadyProposed."""
    proposal_id = tx.new_id()
    try:
        with tx.conn.transaction():
            tx.conn.execute(
                """INSERT INTO skip_proposals (id, consumer, parked_id, topic, key, event, reason, proposed_by,
                                               proposed_at)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                (
                    proposal_id,
                    held_event.place.consumer,
                    held_event.id,
                    held_event.place.topic,
                    held_event.place.key,
                    held_event.at,
                    reason,
                    actor,
                    tx.now,
                ),
            )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyProposed("a skip of this event is proposed already: approve or reject it") from error
    _note(tx, "skip-proposed", held_event.place.key, proposal_id, actor=actor, reason=reason)
    return proposal_id


def confirm(tx: Tx, applier: Applier, proposal_id: uuid.UUID, *, actor: str, reason: str) -> tuple[Place, int]:
    """Skip the event that another person proposed to skip. Returns its place and the key's last sequence applied.

    Raises NoSuchProposal, ApprovalByAnotherPersonRequired, and the errors of held_commands.skip; the proposal
    then stays open.
    """
    proposal = _lock(tx.conn, applier.consumer, proposal_id)
    if is_same_person(proposal.proposed_by, actor):
        raise ApprovalByAnotherPersonRequired("another person must approve what you proposed")
    _decide(tx, proposal, "confirmed", actor=actor, reason=reason)
    place = Place(consumer=applier.consumer, topic=proposal.topic, key=proposal.key)
    why = f"{proposal.reason} (proposed by {proposal.proposed_by})"
    chosen = held_events.find(tx.conn, applier.consumer, proposal.parked_id)
    return place, held_commands.skip(tx, applier, place, actor=actor, reason=why, event=chosen.name)


def is_same_person(first: str, second: str) -> bool:
    """Return whether two actors are one person, at the desk or on the command line, in whatever spelling."""
    return _person(first) == _person(second)


def _person(actor: str) -> str:
    return " ".join(actor.removeprefix(DESK_ACTOR).split()).casefold()


def reject(tx: Tx, consumer: str, proposal_id: uuid.UUID, *, actor: str, reason: str) -> None:
    """Reject the proposal; the event stays held. The proposer may withdraw it this way, too. Raises NoSuchProposal."""
    _decide(tx, _lock(tx.conn, consumer, proposal_id), "turned-down", actor=actor, reason=reason)


def _lock(conn: Conn, consumer: str, proposal_id: uuid.UUID) -> Proposal:
    with conn.cursor(row_factory=class_row(Proposal)) as cursor:
        found = cursor.execute(
            f"""SELECT {_COLUMNS} FROM skip_proposals WHERE id = %s AND consumer = %s AND decision IS NULL
                FOR UPDATE""",
            (proposal_id, consumer),
        ).fetchone()
    if found is None:
        raise NoSuchProposal("there is no such proposal, or it was decided on")
    return found


def _decide(tx: Tx, proposal: Proposal, decision: str, *, actor: str, reason: str) -> None:
    tx.conn.execute(
        """UPDATE skip_proposals SET decision = %s, decided_by = %s, decided_at = %s, decision_reason = %s
           WHERE id = %s""",
        (decision, actor, tx.now, reason, proposal.id),
    )
    _note(tx, f"skip-{decision}", proposal.key, proposal.id, actor=actor, reason=reason)


def _note(tx: Tx, action: str, key: str, proposal_id: uuid.UUID, *, actor: str, reason: str) -> None:
    details: dict[str, audit.Detail] = {"proposal": str(proposal_id), "reason": reason}
    audit.record(tx, actor=actor, action=action, subject=key, details=details)
