"""The feed in order: what came by whichever way becomes one row of positions without holes, or a finding."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.events.base import Envelope


class Kind(StrEnum):
    """What can be wrong with a feed, or with an event of it; a reader names each with its position."""

    # The feed's fault, or somebody's in between.
    FORGED = "forged"
    GAP = "gap"
    CONFLICT = "conflict"
    OUT_OF_SEQUENCE = "out-of-sequence"
    UNREADABLE = "unreadable"
    # Valid, but newer than this reader.
    UNKNOWN_TYPE = "unknown-type"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something a person should look at."""

    kind: Kind
    position: int | None
    detail: str

    def as_json(self) -> dict[str, object]:
        """As a line of the output."""
        return {"finding": self.kind.value, "position": self.position, "detail": self.detail}


class Order:
    """Events that wait until all before them have come. `known` tells the id that was booked at a position, if any."""

    def __init__(self, next_position: int, known: Callable[[int], uuid.UUID | None]) -> None:
        self.next_position = next_position
        self.repeats = 0
        self._known = known
        self._waiting: dict[int, Envelope] = {}

    def take(self, event: Envelope) -> Finding | None:
        """Take an event whose signature holds; a repetition is counted, a second event at one place is a finding."""
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
        """What is complete up to here, in order; each once."""
        while (event := self._waiting.pop(self.next_position, None)) is not None:
            self.next_position += 1
            yield event

    @property
    def waiting(self) -> int:
        """How many wait for one before them."""
        return len(self._waiting)

    @property
    def hole(self) -> range:
        """The positions that those who wait are waiting for first; empty if nobody waits."""
        return range(self.next_position, min(self._waiting, default=self.next_position))

    def waits(self, position: int) -> bool:
        """Whether the event at this position is among those who wait."""
        return position in self._waiting

    def give_up(self) -> Finding:
        """The next position will not come: go on behind it."""
        lost = self.next_position
        self.next_position += 1
        return Finding(kind=Kind.GAP, position=lost, detail="neither came nor could be fetched")
