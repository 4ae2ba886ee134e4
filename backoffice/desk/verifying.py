"""Verification of a timeline: whether each topic's events are complete from the first one on."""

from collections.abc import Sequence
from dataclasses import dataclass

from backoffice.desk.reading import Step, Thread


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One topic's events of a renewal: their number, the last sequence, the missing ones, and the reason of a hold."""

    topic: str
    count: int
    last_sequence: int
    missing: tuple[int, ...]
    thread: Thread | None

    @property
    def whole(self) -> bool:
        """Whether no event is missing and none is held."""
        return not self.missing and (self.thread is None or self.thread.held_reason is None)


def threads(steps: Sequence[Step], inbox: Sequence[Thread]) -> list[Verified]:
    """Return the verification of every topic with events of the renewal.

    An event that the inbox counted but the timeline lacks was skipped.
    """
    by_topic = {thread.topic: thread for thread in inbox}
    topics = sorted({step.topic for step in steps} | by_topic.keys())
    return [
        _verified(topic, [step.sequence for step in steps if step.topic == topic], by_topic.get(topic))
        for topic in topics
    ]


def _verified(topic: str, sequences: Sequence[int], thread: Thread | None) -> Verified:
    last = max([*sequences, thread.last_sequence if thread else 0])
    return Verified(
        topic=topic,
        count=len(sequences),
        last_sequence=last,
        missing=tuple(sorted(set(range(1, last + 1)) - set(sequences))),
        thread=thread,
    )
