"""Commands on held events: redrive them in order, or skip one with a reason."""

import uuid

from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent, HeldEventNotFound
from shared.messaging.inbox import CONFLICT, Place
from shared.tx import Tx, transaction


class NotNext(Refused):
    """The event is not next in sequence: an earlier one is missing, or two events share its number."""

    reason = "not-next"


class ChooseEvent(Refused):
    """Two held events share the sequence number, and the operator must name one."""

    reason = "choose-event"


def list_held(pool: Pool, consumer: str) -> list[HeldEvent]:
    """Return the consumer's held events, by topic, key and sequence."""
    with pool.connection() as conn:
        return list(held_events.list_held_events(conn, consumer=consumer))


def redrive(pool: Pool, applier: Applier, place: Place, *, actor: str, reason: str | None = None) -> int:
    """Apply the key's next held event again, and the events behind it. Returns the key's last sequence applied.

    Raises HeldEventNotFound if the key holds nothing, NotNext if an earlier event is missing. An event that fails again
    stays held with the new reason. Locks the key's inbox row, so that new events keep their order.
    """
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        last, held_event = _next(tx, place)
        if applier.redrive(tx.conn, held_event):
            last += 1
        last = applier.drain(tx.conn, place, last)
        details: dict[str, audit.Detail] = {"topic": place.topic, "to": last, "reason": reason}
        audit.record(tx, actor=actor, action="events-redriven", subject=place.key, details=details)
        return last


def skip(tx: Tx, applier: Applier, place: Place, *, actor: str, reason: str, event: str | None = None) -> int:
    """Skip one held event of the key, then apply the events behind it. Returns the last sequence applied.

    `event` names it by id or by offset; the default is the next one. The skipped event counts as applied. If two events
    share a sequence number, the remaining one becomes next, unless the number is applied already. Raises ChooseEvent,
    NotNext, HeldEventNotFound.
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
    _skip_conflicting(tx, last, [each for each in waiting if each is not chosen], chosen)
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


def choose(waiting: list[HeldEvent], event: str | None) -> HeldEvent:
    """Return the held event of this name; without a name, the next one, if it is the only one with its number.

    Raises ChooseEvent, HeldEventNotFound.
    """
    contested = [each for each in waiting if each.reason == CONFLICT]
    if event is None and len(contested) > 1:
        listed = ", ".join(f"{each.event_id} (sequence {each.sequence}, at {each.at})" for each in contested)
        raise ChooseEvent(f"name the one to skip with --event: {listed}")
    found = contested or waiting if event is None else [each for each in waiting if event in each.names]
    if not found:
        raise HeldEventNotFound(
            "nothing is held for this key" if event is None else "no such event is held for this key"
        )
    if event is not None and len(found) > 1:
        raise ChooseEvent(f"{len(found)} held events are called {event}: {', '.join(each.name for each in found)}")
    return found[0]


def _skip_conflicting(tx: Tx, last: int, others: list[HeldEvent], skipped: HeldEvent) -> None:
    """Make the remaining one of two events with an unapplied number wait for its turn like any other."""
    rivals = [each for each in others if each.reason == CONFLICT and each.sequence == skipped.sequence]
    if skipped.reason == CONFLICT and len(rivals) == 1 and (rivals[0].sequence or 0) > last:
        held_events.give_reason(
            tx.conn, rivals[0].id, held_events.GAP, "next in sequence, as the other event was skipped"
        )


def _next(tx: Tx, place: Place) -> tuple[int, HeldEvent]:
    last = inbox.lock(tx.conn, place)[0]
    waiting = held_events.find_of_key(tx.conn, place)
    if any(each.reason == CONFLICT for each in waiting):
        raise NotNext("two events share this number: skip one first")
    if not waiting:
        raise HeldEventNotFound("nothing is held for this key")
    found = [each for each in waiting if each.sequence == last + 1]
    if not found:
        raise NotNext(f"sequence {last + 1} is missing")
    return last, found[0]
