"""Leaving an event out takes two: one person proposes it with a reason, another confirms it or turns it down."""

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
from shared.messaging.held_events import Parked
from shared.messaging.inbox import Place
from shared.operators import held_commands
from shared.tx import Tx

# So the desk's staff are called in the audit log, and nobody else.
DESK_ACTOR: Final = "staff "


class AlreadyProposed(Refused):
    """Somebody has proposed it already."""

    reason = "already-proposed"


class NoSuchProposal(Refused):
    """There is no such proposal that waits for a decision."""

    reason = "no-such-proposal"


class SecondPersonNeeded(Refused):
    """Nobody confirms their own proposal."""

    reason = "second-person-needed"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposal that waits for a second person."""

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
    """The consumer's proposals that wait, oldest first; of an event that has gone meanwhile there is none."""
    with conn.cursor(row_factory=class_row(Proposal)) as cursor:
        return cursor.execute(
            f"""SELECT {_COLUMNS} FROM skip_proposals WHERE consumer = %s AND decision IS NULL
                AND EXISTS (SELECT 1 FROM parked_events AS p WHERE p.id = parked_id) ORDER BY proposed_at, id""",
            (consumer,),
        ).fetchall()


def propose(tx: Tx, parked: Parked, *, actor: str, reason: str) -> uuid.UUID:
    """Propose to leave this event out; the proposal's id. Raises AlreadyProposed."""
    proposal_id = tx.new_id()
    try:
        with tx.conn.transaction():
            tx.conn.execute(
                """INSERT INTO skip_proposals (id, consumer, parked_id, topic, key, event, reason, proposed_by,
                                               proposed_at)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                (
                    proposal_id,
                    parked.place.consumer,
                    parked.id,
                    parked.place.topic,
                    parked.place.key,
                    parked.at,
                    reason,
                    actor,
                    tx.now,
                ),
            )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyProposed("somebody has proposed to leave this event out: decide on that") from error
    _note(tx, "skip-proposed", parked.place.key, proposal_id, actor=actor, reason=reason)
    return proposal_id


def confirm(tx: Tx, applier: Applier, proposal_id: uuid.UUID, *, actor: str, reason: str) -> tuple[Place, int]:
    """Leave the event out, as another person proposed; whose event it was, and the key's last sequence afterwards.

    Raises NoSuchProposal, SecondPersonNeeded, and as held.leave_out does; then the proposal waits on.
    """
    proposal = _lock(tx.conn, applier.consumer, proposal_id)
    if _person(proposal.proposed_by) == _person(actor):
        raise SecondPersonNeeded("another person must confirm what you proposed")
    _decide(tx, proposal, "confirmed", actor=actor, reason=reason)
    place = Place(consumer=applier.consumer, topic=proposal.topic, key=proposal.key)
    why = f"{proposal.reason} (proposed by {proposal.proposed_by})"
    chosen = held_events.find(tx.conn, applier.consumer, proposal.parked_id)
    return place, held_commands.leave_out(tx, applier, place, actor=actor, reason=why, event=chosen.name)


def _person(actor: str) -> str:
    """Who it is, at the desk or on the command line, however they spell it there."""
    return " ".join(actor.removeprefix(DESK_ACTOR).split()).casefold()


def turn_down(tx: Tx, consumer: str, proposal_id: uuid.UUID, *, actor: str, reason: str) -> None:
    """The event stays; whoever proposed it may take it back, too. Raises NoSuchProposal."""
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
