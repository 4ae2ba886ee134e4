"""What an operator does with held events: redrive them in order, or leave one out with a reason."""

import uuid

from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier
from shared.messaging.held_events import NotParked, Parked
from shared.messaging.inbox import CONFLICT, Place
from shared.tx import Tx, transaction


class NotNext(Refused):
    """An earlier event of this key is missing, or two carry one number; begin with that."""

    reason = "not-next"


class ChooseEvent(Refused):
    """Two events carry one number, and only a person can say which is left out."""

    reason = "choose-event"


def list_held(pool: Pool, consumer: str) -> list[Parked]:
    """The consumer's held events, by topic, key and sequence."""
    with pool.connection() as conn:
        return list(held_events.list_parked(conn, consumer=consumer))


def redrive(pool: Pool, applier: Applier, place: Place, *, actor: str, reason: str | None = None) -> int:
    """Try the key's next held event again, and all that wait behind it; the key's last sequence afterwards.

    Raises NotParked when the key holds nothing, NotNext when an earlier event is missing. A handler that fails
    again leaves the event held with its new reason. Holds the key's inbox row, so new events keep their order.
    """
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        last, parked = _next(tx, place)
        if applier.redrive(tx.conn, parked):
            last += 1
        last = applier.drain(tx.conn, place, last)
        details: dict[str, audit.Detail] = {"topic": place.topic, "to": last, "reason": reason}
        audit.record(tx, actor=actor, action="events-redriven", subject=place.key, details=details)
        return last


def leave_out(tx: Tx, applier: Applier, place: Place, *, actor: str, reason: str, event: str | None = None) -> int:
    """Leave out one held event of the key, then go on with what waits behind it; the last sequence afterwards.

    Which one: the one named by its id, or by its place in the topic; else the next, which then counts as seen. Of two
    with one number the other takes the turn, unless it was applied already. Raises ChooseEvent, NotNext, NotParked.
    """
    last = inbox.lock(tx.conn, place)[0]
    waiting = held_events.find_of_key(tx.conn, place)
    chosen = choose(waiting, event)
    if chosen.sequence == last + 1 and chosen.reason != CONFLICT:
        last += 1
        inbox.advance(tx.conn, place, last, chosen.event_id or uuid.UUID(int=0))
    elif chosen.sequence is not None and chosen.reason != CONFLICT:
        raise NotNext(f"sequence {last + 1} comes first")
    held_events.remove(tx.conn, chosen.id)
    _let_the_other_go(tx, last, [each for each in waiting if each is not chosen], chosen)
    audit.record(
        tx,
        actor=actor,
        action="event-skipped",
        subject=place.key,
        details={
            "topic": place.topic,
            "sequence": chosen.sequence,
            "event": str(chosen.event_id),
            "at": chosen.at,
            "why_held": chosen.reason,
            "reason": reason,
        },
    )
    return applier.drain(tx.conn, place, last)


def choose(waiting: list[Parked], event: str | None) -> Parked:
    """The event that is meant: by name, else the one that a person need not choose. Raises ChooseEvent, NotParked."""
    contested = [each for each in waiting if each.reason == CONFLICT]
    if event is None and len(contested) > 1:
        listed = ", ".join(f"{each.event_id} (sequence {each.sequence}, at {each.at})" for each in contested)
        raise ChooseEvent(f"name the one to leave out with --event: {listed}")
    found = contested or waiting if event is None else [each for each in waiting if event in each.names]
    if not found:
        raise NotParked("nothing is held for this key" if event is None else "no such event is held for this key")
    if event is not None and len(found) > 1:
        raise ChooseEvent(f"{len(found)} held events are called {event}: {', '.join(each.name for each in found)}")
    return found[0]


def _let_the_other_go(tx: Tx, last: int, others: list[Parked], left_out: Parked) -> None:
    """Of two that claimed a number not yet applied, the one that stays waits for its turn like any other."""
    rivals = [each for each in others if each.reason == CONFLICT and each.sequence == left_out.sequence]
    if left_out.reason == CONFLICT and len(rivals) == 1 and (rivals[0].sequence or 0) > last:
        held_events.give_reason(tx.conn, rivals[0].id, held_events.GAP, "its turn, as the other was left out")


def _next(tx: Tx, place: Place) -> tuple[int, Parked]:
    last = inbox.lock(tx.conn, place)[0]
    waiting = held_events.find_of_key(tx.conn, place)
    if any(each.reason == CONFLICT for each in waiting):
        raise NotNext("two events carry one number: leave one out first")
    if not waiting:
        raise NotParked("nothing is held for this key")
    found = [each for each in waiting if each.sequence == last + 1]
    if not found:
        raise NotNext(f"sequence {last + 1} is missing")
    return last, found[0]
