"""A made-up feed: signed events in order, and a source that gives them as a test wants it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backoffice.kit.keys import KeyRing
from backoffice.kit.order import Finding
from backoffice.kit.sources import Batch, IsDone
from shared.events.base import Envelope, Event, Topic
from shared.events.issuance import IssuanceWithheld
from shared.messaging import codec, feed_signature
from shared.vocabulary import RenewalId
from tests.support.builders import key_set, signing_key

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
KEY = signing_key("feed")


def signed(event: Envelope) -> Envelope:
    """Return the envelope with the feed's signature."""
    return replace(event, signature=feed_signature.sign(event, KEY))


def at(position: int, event: Event | None = None, *, renewal: int = 0, sequence: int | None = None) -> Envelope:
    """Return the feed's event at a position; by default the only one of a renewal of its own."""
    what = event or IssuanceWithheld(renewal_id=RenewalId(uuid.UUID(int=renewal or position)))
    return signed(
        Envelope(
            id=uuid.uuid5(uuid.NAMESPACE_OID, f"{position}"),
            source="/issuance",
            type=what.TYPE,
            topic=Topic.ISSUANCE,
            subject=str(what.subject),
            sequence=sequence or 1,
            time=BEGAN + position * timedelta(seconds=1),
            data=codec.encode_data(what),
            dataschema=codec.schema_name(what.TYPE),
            position=position,
        )
    )


def keys() -> KeyRing:
    """Return the published ones."""
    return KeyRing(lambda: key_set("feed"))


@dataclass
class Given:
    """A source that gives these batches, one a poll, then nothing; what was done when it was asked."""

    batches: list[Sequence[Envelope]]
    complete: bool = False
    done: set[int] = field(default_factory=set)
    rests: int = 0

    def poll(self, next_position: int, seconds: float) -> Batch:
        events = self.batches.pop(0) if self.batches else []
        last = max((event.position or 0 for event in events), default=None) if self.complete else None
        return Batch(events=events, unreadable=(), complete_to=last)

    def rest(self, seconds: float) -> None:
        self.rests += 1

    def settle(self, is_done: IsDone) -> None:
        self.done = {position for position in range(1, 2000) if is_done(position)}

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


@dataclass
class Worked:
    """Processed events, in order."""

    events: list[int] = field(default_factory=list)
    findings: list[tuple[str, int | None]] = field(default_factory=list)
    fails_at: int | None = None

    def __call__(self, what: Any) -> None:
        if isinstance(what, Finding):
            self.findings.append((what.kind.value, what.position))
            return
        if what.position == self.fails_at:
            raise BrokenPipeError
        self.events.append(what.position)
