"""Four-eyes approval of skips: one person proposes to skip a held event, another approves or rejects it."""

import uuid
from typing import Final

from shared.db import Conn
from shared.messaging import held_events
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.messaging.inbox import Place
from shared.operators import held_commands, proposals
from shared.operators.proposals import Action, Proposal
from shared.tx import Tx

_SKIP: Final = "skip"


def find_open(conn: Conn) -> dict[int, Proposal]:
    """Return the open proposals by the number of the held event, which may be held no longer."""
    return {int(each.target): each for each in proposals.find_open(conn, _SKIP)}


def propose(tx: Tx, held_event: HeldEvent, *, actor: str, reason: str) -> uuid.UUID:
    """Propose to skip this event. Returns the proposal's id. Raises AlreadyProposed."""
    content = {"consumer": held_event.place.consumer, "topic": held_event.place.topic, "event": held_event.at}
    action = Action(name=_SKIP, target=str(held_event.id), subject=held_event.place.key, content=content)
    return proposals.propose(tx, action, actor=actor, reason=reason)


def confirm(tx: Tx, applier: Applier, proposal_id: uuid.UUID, *, actor: str, reason: str) -> tuple[Place, int]:
    """Skip the event that another person proposed to skip. Returns its place and the key's last sequence applied.

    Raises NoSuchProposal, ApprovalByAnotherPersonRequired, and the errors of held_commands.skip; the proposal
    then stays open.
    """
    proposal = proposals.approve(tx, _SKIP, proposal_id, actor=actor, reason=reason)
    place = Place(consumer=applier.consumer, topic=proposal.content["topic"], key=proposal.subject)
    why = f"{proposal.reason} (proposed by {proposal.proposed_by})"
    chosen = held_events.find(tx.conn, applier.consumer, int(proposal.target))
    return place, held_commands.skip(tx, applier, place, actor=actor, reason=why, event=chosen.name)


def reject(tx: Tx, proposal_id: uuid.UUID, *, actor: str, reason: str) -> None:
    """Reject the proposal; the event stays held. Raises NoSuchProposal."""
    proposals.reject(tx, _SKIP, proposal_id, actor=actor, reason=reason)
