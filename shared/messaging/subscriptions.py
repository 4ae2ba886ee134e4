"""Subscriptions: pairs of event type and handler, checked by the type checker."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.events.base import Event, Topic
from shared.tx import Tx

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """One event type and its handler."""

    event_type: type[Event]
    handle: Callable[[Tx, Any], None]


def on(event_type: type[E], handle: Callable[[Tx, E], None]) -> Subscription:
    """Subscribe `handle` to `event_type`."""
    return Subscription(event_type=event_type, handle=handle)


def by_type(subscriptions: Iterable[Subscription]) -> Mapping[str, Subscription]:
    """Return the subscriptions by CloudEvents type; two handlers for one event are an error."""
    table: dict[str, Subscription] = {}
    for subscription in subscriptions:
        if table.setdefault(subscription.event_type.TYPE, subscription) is not subscription:
            raise ValueError(f"two handlers for {subscription.event_type.TYPE}")
    return table


def topics(subscriptions: Iterable[Subscription]) -> list[Topic]:
    """Return the topics to read, in a fixed order."""
    return sorted({subscription.event_type.TOPIC for subscription in subscriptions})
