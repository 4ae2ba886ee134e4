"""Delays: what the certificate of an item waits for, and the announcement by which its AR is notified of it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from services.application import store, timeline_store
from services.application.domain import Item, Renewal, RenewalState
from services.application.timeline import Details, TimelineEvent
from shared.errors import Ignored
from shared.events.application import CertificateDelayed, NotifiedObstacle
from shared.events.issuance import IssuanceDelayed, Obstacle
from shared.messaging import outbox
from shared.tx import Tx

# Obstacles that the CA must remove: a check that is still to come, a perspective that gave no answer. The renewal's
# page shows them, but there is nothing that its AR could do.
_NOT_CHECKED: Final = "not-checked"
_PERSPECTIVE: Final = "perspective-"


def record_delay(tx: Tx, renewal: Renewal, item: Item, event: IssuanceDelayed) -> None:
    """Store what the item waits for, and notify its AR. Raises Ignored."""
    delayed = replace(item.after(event), obstacles=event.obstacles)
    if delayed == item:
        raise Ignored("obstacles are known")
    names = tuple(dict.fromkeys(each.server_name for each in event.obstacles if each.server_name))
    timeline_store.add_event(tx, renewal.id, TimelineEvent.ISSUANCE_DELAYED, item.id, Details(server_names=names))
    store.save_item(tx.conn, _notify(tx, renewal, delayed))


def notify_again(tx: Tx, renewal: Renewal) -> None:
    """Notify the AR of obstacles that came while the renewal was to end: it goes on after all."""
    for item in store.find_items(tx.conn, renewal.id):
        notified = _notify(tx, renewal, item)
        if notified != item:
            store.save_item(tx.conn, notified)


def _notify(tx: Tx, renewal: Renewal, item: Item) -> Item:
    """Announce what the AR can do, if one of the obstacles is new to them. Returns the item with what they know.

    An obstacle is announced once, however often it goes and comes back: a name server that fails now and then must not
    fill a mailbox. One that is gone is not announced: the AR has just removed it.
    """
    obstacles = tuple(dict.fromkeys(_notified(each) for each in item.obstacles if _is_for_ar(each)))
    until = store.find_deadline(tx.conn, renewal.id)
    if renewal.state is not RenewalState.AWAITING_CSRS or until is None or {*obstacles} <= {*item.notified}:
        return item
    outbox.add(tx, CertificateDelayed(renewal_id=renewal.id, item_id=item.id, obstacles=obstacles, until=until))
    return after_notice(item, obstacles)


def after_notice(item: Item, obstacles: Iterable[NotifiedObstacle]) -> Item:
    """Return the item once its AR was notified of these obstacles; the same again changes nothing."""
    return replace(item, notified=tuple(dict.fromkeys((*item.notified, *obstacles))))


def _notified(obstacle: Obstacle) -> NotifiedObstacle:
    return NotifiedObstacle(server_name=obstacle.server_name, kind=obstacle.kind, reason=obstacle.reason)


def _is_for_ar(obstacle: Obstacle) -> bool:
    return obstacle.reason != _NOT_CHECKED and not obstacle.reason.startswith(_PERSPECTIVE)
