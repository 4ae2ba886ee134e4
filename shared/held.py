"""The operator's command for held events: look, redrive in order, or skip with a reason."""

import argparse
import json
import uuid
from typing import Final

from shared import audit, inbox, parking
from shared.apply import Applier
from shared.db import Pool
from shared.errors import Refused
from shared.inbox import Place
from shared.parking import NotParked, Parked
from shared.tx import Tx, transaction

MAX_LISTED: Final = 500


class NotNext(Refused):
    """An earlier event of this key is missing, or two carry one number; begin with that."""

    reason = "not-next"


def list_held(pool: Pool, consumer: str) -> list[Parked]:
    """The consumer's held events, by key and sequence."""
    with pool.connection() as conn:
        return parking.list_parked(conn, consumer=consumer, limit=MAX_LISTED)


def redrive(pool: Pool, applier: Applier, place: Place, *, actor: str) -> int:
    """Try the key's next held event again, and all that wait behind it; the key's last sequence afterwards.

    Raises NotParked when the key holds nothing, NotNext when an earlier event is missing. A handler that fails
    again leaves the event held with its new reason. Holds the key's inbox row, so new events keep their order.
    """
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        last, parked = _next(tx, place)
        if applier.redrive(tx.conn, parked):
            last = applier.drain(tx.conn, place, last + 1)
        audit.record(
            tx, actor=actor, action="events-redriven", subject=place.key, details={"topic": place.topic, "to": last}
        )
        return last


def skip(pool: Pool, applier: Applier, place: Place, *, actor: str, reason: str) -> int:
    """Count the key's next held event as seen without applying it, then go on with what waits behind it.

    Events whose number another one had come first: they are left out, all at once.
    """
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        if conflicts := parking.find_conflicts(tx.conn, place):
            return _skip_conflicts(tx, applier, place, conflicts, actor=actor, reason=reason)
        last, parked = _next(tx, place)
        inbox.advance(tx.conn, place, last + 1, parking.event_id_of(parked) or uuid.UUID(int=0))
        parking.remove(tx.conn, parked.id)
        audit.record(
            tx,
            actor=actor,
            action="event-skipped",
            subject=place.key,
            details={"topic": place.topic, "sequence": last + 1, "why_held": parked.reason, "reason": reason},
        )
        return applier.drain(tx.conn, place, last + 1)


def _skip_conflicts(tx: Tx, applier: Applier, place: Place, conflicts: list[Parked], *, actor: str, reason: str) -> int:
    last = inbox.lock(tx.conn, place)[0]
    for parked in conflicts:
        parking.remove(tx.conn, parked.id)
        audit.record(
            tx,
            actor=actor,
            action="event-skipped",
            subject=place.key,
            details={"topic": place.topic, "event": str(parking.event_id_of(parked)), "reason": reason},
        )
    return applier.drain(tx.conn, place, last)


def _next(tx: Tx, place: Place) -> tuple[int, Parked]:
    last = inbox.lock(tx.conn, place)[0]
    if parking.find_conflicts(tx.conn, place):
        raise NotNext("two events carry one number: skip the second one first")
    parked = parking.find_next(tx.conn, place, last + 1)
    if parked is None:
        waiting = [p for p in parking.list_parked(tx.conn, consumer=place.consumer) if p.place == place]
        raise NotNext(f"sequence {last + 1} is missing") if waiting else NotParked("nothing is held for this key")
    return last, parked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `redrive TOPIC KEY`, `skip TOPIC KEY --reason WHY`; the last two need `--actor`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="one JSON object a line")
    for name in ("redrive", "skip"):
        action = actions.add_parser(name)
        action.add_argument("topic")
        action.add_argument("key")
        action.add_argument("--actor", required=True, help="who does this, for the audit log")
        if name == "skip":
            action.add_argument("--reason", required=True, help="why the event may be left out")


def run(pool: Pool, applier: Applier, options: argparse.Namespace) -> None:
    """Carry the command out; a refusal is one line and exit status 1."""
    try:
        if options.action == "list":
            for parked in list_held(pool, applier.consumer):
                print(json.dumps(_line(parked)))
            return
        place = Place(consumer=applier.consumer, topic=options.topic, key=options.key)
        if options.action == "redrive":
            last = redrive(pool, applier, place, actor=options.actor)
        else:
            last = skip(pool, applier, place, actor=options.actor, reason=options.reason)
        print(f"{place.topic} {place.key}: applied up to sequence {last}")
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused


def _line(parked: Parked) -> dict[str, object]:
    return {
        "topic": parked.place.topic,
        "key": parked.place.key,
        "sequence": parked.sequence,
        "reason": parked.reason,
        "error": parked.error,
        "parked_at": parked.parked_at.isoformat(),
    }
