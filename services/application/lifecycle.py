"""Lifecycle of a renewal: save a transition, and add a timeline row. Who decides a transition announces it, too."""

from datetime import datetime

from services.application import store
from services.application.domain import DEADLINES, Renewal
from services.application.refusals import RenewalNotFound
from services.application.timeline import NO_DETAILS, Details, TimelineEvent
from shared.errors import Ignored
from shared.events.base import Event
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId
from shared.web.auth import Caller


def lock_own(tx: Tx, renewal_id: RenewalId, caller: Caller) -> Renewal:
    """Return the caller's own renewal, locked. Raises RenewalNotFound for anybody else's."""
    renewal = store.lock_renewal(tx.conn, renewal_id)
    if renewal is None or renewal.subscriber_id != caller.subscriber_id:
        raise RenewalNotFound("there is no such renewal")
    return renewal


def lock_known(tx: Tx, event: Event) -> Renewal:
    """Return the event's renewal, locked. Raises Ignored for an unknown renewal."""
    renewal = store.lock_renewal(tx.conn, event.renewal_id)
    if renewal is None:
        raise Ignored("unknown renewal")
    return renewal


def transition(tx: Tx, was: Renewal, renewal: Renewal) -> None:
    """Save the renewal; in a new state, set the deadline of that state. Announces nothing."""
    store.save_renewal(tx.conn, renewal)
    if renewal.state is not was.state and not renewal.state.ended:
        store.set_timer(tx.conn, renewal.id, renewal.state, tx.now + DEADLINES[renewal.state])


def add_timeline_event(
    tx: Tx,
    renewal_id: RenewalId,
    event: TimelineEvent,
    item_id: ItemId | None = None,
    details: Details = NO_DETAILS,
    at: datetime | None = None,
) -> None:
    """Add a timeline row, with the time at which it was announced."""
    announced = tx.now if tx.event is None else tx.event.time
    store.add_to_timeline(tx.conn, renewal_id, at or announced, event, item_id, details)
