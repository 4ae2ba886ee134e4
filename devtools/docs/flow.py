"""docs/events/flow.md: which function announces each event, and which handles it."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from backoffice.desk import projection
from deploy.kafka.topics import READERS
from devtools.docs.markdown import code, table
from services.application import handlers as application
from services.issuance import handlers as issuance
from services.mailing import handlers as mailing
from services.mailing.mail_queue import Post
from services.payment import handlers as payment
from shared.events.base import Event, Topic
from shared.events.registry import ALL
from shared.messaging.subscriptions import Subscription

FILE: Final = Path("docs/events/flow.md")
_HEAD: Final = """# Events: who announces, who handles

Written by `make docs` from the subscriptions of the services and from the places in their code that make an event; a
test compares them. An event is made in the transaction that changes the state, and put into the outbox there
(`shared/messaging/outbox.py`). The desk reads every topic but `issuance.pin-envelopes`,
`identity.evidence` and `identity.register`, and handles every event by one function. `identity.evidence` has no
consumer: identity's `recall` reads its events from the outbox, after a restore.
"""
# Handlers are only named here: none of them gets its keys.
_NO_KEYS: Final[Any] = None


def subscriptions() -> dict[str, Sequence[Subscription]]:
    """Return the subscriptions of every consumer, by its name."""
    return {
        "application": application.subscriptions(),
        "payment": payment.subscriptions(),
        "mailing": mailing.subscriptions(keys=_NO_KEYS, post=Post(domain="", portal="")),
        "issuance": issuance.subscriptions(keys=_NO_KEYS),
        "desk": projection.subscriptions(_NO_KEYS),
    }


def text() -> str:
    """Return docs/events/flow.md."""
    sections = [_HEAD]
    for topic in Topic:
        events = [event for event in ALL.values() if event.TOPIC is topic]
        sections.append(
            f"## {topic.value}\n\n{_readers(topic)}{table(('event', 'announced in', 'handled in'), map(_row, events))}"
        )
    return "\n".join(sections)


def _readers(topic: Topic) -> str:
    outside = [name for name, access in READERS.items() if topic in access.reads]
    return f"Outside readers: {', '.join(outside)} (`docs/events/README.md`).\n\n" if outside else ""


def _row(event: type[Event]) -> tuple[str, str, str]:
    return code(event.__name__), "<br>".join(producers(event)), "<br>".join(handlers(event))


def producers(event: type[Event]) -> list[str]:
    """Return the functions of the event's publisher that make it, as file and name."""
    service = Path("services", event.TOPIC.value.partition(".")[0])
    found = [
        f"{code(path.as_posix())} {code(name)}"
        for path in sorted(service.rglob("*.py"))
        for name in _makers(ast.parse(path.read_text("utf-8")), event.__name__)
    ]
    return [*dict.fromkeys(found)]


def _makers(module: ast.Module, event: str) -> Iterator[str]:
    """Yield the top-level functions and methods that call the event's class."""
    for outer in module.body:
        inner = outer.body if isinstance(outer, ast.ClassDef) else [outer]
        for each in inner:
            calls = (node for node in ast.walk(each) if isinstance(node, ast.Call))
            if isinstance(each, ast.FunctionDef) and any(_called(call) == event for call in calls):
                yield each.name


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def handlers(event: type[Event]) -> list[str]:
    """Return the handlers of an event, each as consumer, file and name; the desk's stands in the head."""
    return [
        f"{consumer}: {_place(subscription.handle)}"
        for consumer, found in subscriptions().items()
        for subscription in found
        if subscription.event_type is event and consumer != "desk"
    ]


def _place(handler: Any) -> str:
    function = handler.func if isinstance(handler, partial) else handler
    file = Path(inspect.getfile(function)).relative_to(Path.cwd())
    return f"{code(file.as_posix())} {code(function.__qualname__)}"
