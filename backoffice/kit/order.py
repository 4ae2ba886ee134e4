"""Ordering of the feed: events from any source become one sequence of positions without gaps, or findings."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.events.base import Envelope


class Kind(StrEnum):
    """Kinds of findings about the feed or one of its events."""

    # Faults of the feed, or of somebody on the way.
    FORGED = "forged"
    GAP = "gap"
    CONFLICT = "conflict"
    OUT_OF_SEQUENCE = "out-of-sequence"
    UNREADABLE = "unreadable"
    # Valid, but newer than this reader.
    UNKNOWN_TYPE = "unknown-type"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault that a person should look at."""

    kind: Kind
    position: int | None
    detail: str

    def as_json(self) -> dict[str, object]:
        """Return the finding as a line of output."""
        return {"finding": self.kind.value, "position": self.position, "detail": self.detail}


class Order:
    """Events that wait for earlier positions. `known` returns the id recorded at a position, if any."""

    def __init__(self, next_position: int, known: Callable[[int], uuid.UUID | None]) -> None:
        self.next_position = next_position
        self.repeats = 0
        self._known = known
        self._waiting: dict[int, Envelope] = {}

    def take(self, event: Envelope) -> Finding | None:
        """Accept an event with a valid signature.

        Counts a repetition; returns a finding for a second event at one position.
        """
        assert event.position is not None
        at = event.position
        there = self._waiting[at].id if at in self._waiting else self._known(at)
        if there is not None and there != event.id:
            return Finding(kind=Kind.CONFLICT, position=at, detail=f"{there} and {event.id}")
        if there is not None or at < self.next_position:
            self.repeats += 1
        else:
            self._waiting[at] = event
        return None

    def ready(self) -> Iterator[Envelope]:
        """Yield the events whose predecessors are complete, in order, each once."""
        while (event := self._waiting.pop(self.next_position, None)) is not None:
            self.next_position += 1
            yield event

    @property
    def waiting(self) -> int:
        """The number of events that wait for an earlier position."""
        return len(self._waiting)

    @property
    def hole(self) -> range:
        """The first missing positions; empty if no event waits."""
        return range(self.next_position, min(self._waiting, default=self.next_position))

    def waits(self, position: int) -> bool:
        """Return whether the event at this position waits for an earlier one."""
        return position in self._waiting

    def give_up(self) -> Finding:
        """Give up the next position and continue behind it. Returns the finding."""
        lost = self.next_position
        self.next_position += 1
        return Finding(kind=Kind.GAP, position=lost, detail="neither came nor could be fetched")
