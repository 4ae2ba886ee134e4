"""All events by type; readers recognise by it the types of ours that they do not handle."""

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Final

from shared.events import application, identity, issuance, mailing, payment
from shared.events.base import Event

PUBLISHERS: Final[tuple[ModuleType, ...]] = (identity, application, payment, mailing, issuance)


def _declared(module: ModuleType) -> Iterator[type[Event]]:
    for _, member in inspect.getmembers(module, inspect.isclass):
        if issubclass(member, Event) and member is not Event and member.__module__ == module.__name__:
            yield member


ALL: Final[Mapping[str, type[Event]]] = {event.TYPE: event for module in PUBLISHERS for event in _declared(module)}
