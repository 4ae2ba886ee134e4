"""Operators' commands for held events: list, redrive, or skip with four-eyes approval, as at the desk."""

import argparse
import uuid
from collections.abc import Callable
from functools import partial

from shared.db import Pool
from shared.messaging import held_events
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.messaging.inbox import Place
from shared.operators import held_commands, skip_proposals
from shared.operators.proposals import Proposal
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.tx import transaction


def commands(make_applier: Callable[[], Applier]) -> dict[str, OperatorCommand]:
    """Return `list`, `redrive TOPIC KEY`, `skip TOPIC KEY [--event ID]`, `confirm PROPOSAL` and `reject PROPOSAL`."""
    return {
        "list": OperatorCommand(help="list held events", run=partial(_list, make_applier)),
        "redrive": OperatorCommand(
            help="apply a key's next held event again, and the events behind it",
            add_arguments=_key_arguments,
            run=partial(_redrive, make_applier),
        ),
        "skip": OperatorCommand(
            help="propose to skip an event; another person approves it, here or at the desk",
            add_arguments=_skip_arguments,
            run=partial(_propose, make_applier),
        ),
        "confirm": OperatorCommand(
            help="approve a skip that another person proposed",
            add_arguments=_proposal_arguments,
            run=partial(_confirm, make_applier),
        ),
        "reject": OperatorCommand(
            help="reject a proposed skip; the event stays held",
            add_arguments=_proposal_arguments,
            run=partial(_reject, make_applier),
        ),
    }


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic")
    parser.add_argument("key")


def _skip_arguments(parser: argparse.ArgumentParser) -> None:
    _key_arguments(parser)
    parser.add_argument("--event", help="event to skip: its `name`, `event` or `at` as listed (default: the next one)")
    parser.add_argument("--reason", required=True, help="reason for the audit log")


def _proposal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("proposal", type=uuid.UUID)
    parser.add_argument("--reason", required=True, help="reason for the audit log")


def _list(make_applier: Callable[[], Applier], pool: Pool, options: argparse.Namespace) -> Report:
    consumer = make_applier().consumer
    with pool.connection() as conn:
        proposals = skip_proposals.find_open(conn)
    held = held_commands.list_held(pool, consumer)
    return Report(values=[_row(each, proposals.get(each.id)) for each in held])


def _redrive(make_applier: Callable[[], Applier], pool: Pool, options: argparse.Namespace) -> Report:
    applier = make_applier()
    place = Place(consumer=applier.consumer, topic=options.topic, key=options.key)
    return _applied(applier, place, held_commands.redrive(pool, applier, place, actor=options.actor))


def _propose(make_applier: Callable[[], Applier], pool: Pool, options: argparse.Namespace) -> Report:
    applier = make_applier()
    place = Place(consumer=applier.consumer, topic=options.topic, key=options.key)
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        chosen = held_commands.choose(held_events.find_of_key(tx.conn, place), options.event)
        proposal = skip_proposals.propose(tx, chosen, actor=options.actor, reason=options.reason)
    return Report(
        values={"proposal": str(proposal), "at": chosen.at},
        text=f"{proposal}: proposed to skip {chosen.at}; another person approves it: held confirm {proposal}",
    )


def _confirm(make_applier: Callable[[], Applier], pool: Pool, options: argparse.Namespace) -> Report:
    applier = make_applier()
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        place, last = skip_proposals.confirm(tx, applier, options.proposal, actor=options.actor, reason=options.reason)
    return _applied(applier, place, last)


def _reject(make_applier: Callable[[], Applier], pool: Pool, options: argparse.Namespace) -> Report:
    applier = make_applier()
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        skip_proposals.reject(tx, options.proposal, actor=options.actor, reason=options.reason)
    return Report(values={"rejected": str(options.proposal)}, text="rejected: the event stays held")


def _applied(applier: Applier, place: Place, last: int) -> Report:
    applier.tell()
    return Report(
        values={"topic": place.topic, "key": place.key, "last_sequence": last},
        text=f"{place.topic} {place.key}: applied up to sequence {last}",
    )


def _row(held_event: HeldEvent, proposal: Proposal | None) -> dict[str, object]:
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
