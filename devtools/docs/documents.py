"""docs/renewal-states.md, and the documents that other packages generate."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from deploy.k8s import generated
from devtools import printable
from devtools.docs import desk_document
from devtools.docs.feed import documents
from services.application.domain import ENDED, ITEM_TRANSITIONS, TRANSITIONS, ItemState, RenewalState
from shared.events.base import Event
from shared.events.registry import ALL

S = TypeVar("S", bound=StrEnum)
STATES: Final = Path("docs/renewal-states.md")
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HEAD: Final = """# States of a renewal and of its items

Drawn from the tables in `services/application/domain.py` by `make docs`; a test keeps it true. An arrow names what
leads from one state to the next: an event of another service by its name, what an AR, an operator or a timer does in
plain words. An event without an arrow from the present state changes nothing and is noted in the audit log; a command
without one is refused.
"""


def states() -> str:
    """Return the content of docs/renewal-states.md."""
    renewal = _diagram(TRANSITIONS, RenewalState.DRAFT, ENDED)
    ended = [state for state in ItemState if not any(start is state for start, _ in ITEM_TRANSITIONS)]
    item = _diagram(ITEM_TRANSITIONS, ItemState.PENDING, ended)
    return f"{_HEAD}\n## Renewal\n\n{renewal}\n## Item\n\n{item}"


def _diagram(transitions: Mapping[tuple[S, type], S], first: S, ended: Iterable[S]) -> str:
    states = [*type(first)]
    arrows: dict[tuple[S, S], list[str]] = {}
    for (start, trigger), end in transitions.items():
        arrows.setdefault((start, end), []).append(_label(trigger))
    lines = [
        *(f'state "{state.value}" as {_name(state)}' for state in states),
        f"[*] --> {_name(first)}",
        *(f"{_name(start)} --> {_name(end)}: {', '.join(labels)}" for (start, end), labels in arrows.items()),
        *(f"{_name(state)} --> [*]" for state in states if state in {*ended}),
    ]
    return "```mermaid\nstateDiagram-v2\n" + "".join(f"    {line}\n" for line in lines) + "```\n"


def _name(state: StrEnum) -> str:
    return state.value.replace("-", "_")


def _label(trigger: type) -> str:
    if issubclass(trigger, Event):
        assert trigger in ALL.values()
        return trigger.__name__
    return _WORDS.sub(" ", trigger.__name__).lower()


def write() -> None:
    """Write these documents."""
    documents.write()
    generated.write()
    STATES.write_text(states(), "utf-8")
    printable.CHARACTERS.write_text(printable.text(), "ascii")
    desk_document.DESK.write_text(desk_document.text(), "utf-8")
