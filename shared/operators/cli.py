"""Operators' command for held events: list, redrive, or skip with four-eyes approval, as at the desk."""

import argparse
import json
import uuid

from shared.db import Pool
from shared.errors import Refused
from shared.messaging import held_events
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.messaging.inbox import Place
from shared.operators import held_commands, skip_proposals
from shared.operators.skip_proposals import DESK_ACTOR, Proposal
from shared.tx import transaction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `list`, `redrive TOPIC KEY`, `skip TOPIC KEY [--event ID]`, `confirm PROPOSAL`, `reject PROPOSAL`.

    All but `list` need `--actor`, and all but `redrive` a `--reason`.
    """
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list held events, one JSON object a line")
    redrive = actions.add_parser("redrive", help="apply a key's next held event again, and the events behind it")
    skip = actions.add_parser("skip", help="propose to skip an event; another person approves it, here or at the desk")
    confirm = actions.add_parser("confirm", help="approve a skip that another person proposed")
    reject = actions.add_parser("reject", help="reject a proposed skip; the event stays held")
    for action in (redrive, skip):
        action.add_argument("topic")
        action.add_argument("key")
    skip.add_argument("--event", help="event to skip: its `name`, `event` or `at` as listed (default: the next one)")
    for action in (confirm, reject):
        action.add_argument("proposal", type=uuid.UUID)
    for action in (redrive, skip, confirm, reject):
        action.add_argument("--actor", type=_actor, required=True, help="name for the audit log")
    for action in (skip, confirm, reject):
        action.add_argument("--reason", required=True, help="reason for the audit log")


def _actor(text: str) -> str:
    """Return the name; refuse the form that the audit log reserves for staff whose certificate the
    desk has verified.
    """
    if not text.strip() or text.strip().casefold().startswith(DESK_ACTOR):
        raise ValueError(f"an actor does not begin with {DESK_ACTOR!r}")
    return text.strip()


def run(pool: Pool, applier: Applier, options: argparse.Namespace) -> None:
    """Run the command. A refusal is one line and exit status 1."""
    try:
        match options.action:
            case "list":
                _list(pool, applier.consumer)
            case "redrive":
                place = Place(consumer=applier.consumer, topic=options.topic, key=options.key)
                last = held_commands.redrive(pool, applier, place, actor=options.actor)
                _say(applier, place, last)
            case "skip":
                _propose(pool, applier, options)
            case "confirm":
                _confirm(pool, applier, options)
            case "reject":
                with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
                    skip_proposals.reject(
                        tx, applier.consumer, options.proposal, actor=options.actor, reason=options.reason
                    )
                print("turned down: the event stays held")
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused


def _list(pool: Pool, consumer: str) -> None:
    with pool.connection() as conn:
        proposals = {each.parked_id: each for each in skip_proposals.find_open(conn, consumer)}
    for held_event in held_commands.list_held(pool, consumer):
        print(json.dumps(_line(held_event, proposals.get(held_event.id))))


def _propose(pool: Pool, applier: Applier, options: argparse.Namespace) -> None:
    place = Place(consumer=applier.consumer, topic=options.topic, key=options.key)
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        chosen = held_commands.choose(held_events.find_of_key(tx.conn, place), options.event)
        proposal = skip_proposals.propose(tx, chosen, actor=options.actor, reason=options.reason)
    print(f"{proposal}: proposed to leave out {chosen.at}; somebody else confirms it: held confirm {proposal}")


def _confirm(pool: Pool, applier: Applier, options: argparse.Namespace) -> None:
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        place, last = skip_proposals.confirm(tx, applier, options.proposal, actor=options.actor, reason=options.reason)
    _say(applier, place, last)


def _say(applier: Applier, place: Place, last: int) -> None:
    applier.tell()
    print(f"{place.topic} {place.key}: applied up to sequence {last}")


def _line(held_event: HeldEvent, proposal: Proposal | None) -> dict[str, object]:
    return {
        "name": held_event.name,
        "topic": held_event.place.topic,
        "key": held_event.place.key,
        "sequence": held_event.sequence,
        "event": None if held_event.event_id is None else str(held_event.event_id),
        "at": held_event.at,
        "reason": held_event.reason,
        "error": held_event.error,
        "parked_at": held_event.parked_at.isoformat(),
        "proposal": None if proposal is None else f"{proposal.id} by {proposal.proposed_by}: {proposal.reason}",
    }
