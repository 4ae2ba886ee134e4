"""Sources of events: the Kafka topic, or pages over HTTP. The loop reports to a source which events are recorded."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from backoffice.kit.client import FeedClient
from shared.errors import Undecodable
from shared.events.base import Envelope
from shared.messaging import codec
from shared.messaging.group_membership import NO_MEMBER, GroupConsumer, Membership

log = structlog.get_logger()

PAGE: Final = 500
WAIT_SECONDS: Final = 20
IsDone = Callable[[int], bool]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Polled events. `complete_to` is the position up to which the source has no other events, if it is known."""

    events: Sequence[Envelope]
    unreadable: Sequence[str]
    complete_to: int | None = None


class Source(Protocol):
    """A source of events."""

    def poll(self, next_position: int, seconds: float) -> Batch:
        """Return the events that have arrived, waiting at most `seconds`."""

    def rest(self, seconds: float) -> None:
        """Take no events for `seconds`."""

    def settle(self, is_done: IsDone) -> None:
        """Commit at the source how far events are recorded."""

    def close(self) -> None:
        """Close the source."""


class HTTPSource:
    """Pages in order; the feed keeps no reader's position."""

    def __init__(self, client: FeedClient, *, wait_seconds: int = WAIT_SECONDS) -> None:
        self._client = client
        self._wait = wait_seconds

    def poll(self, next_position: int, seconds: float) -> Batch:
        """Return the next page. Raises APIUnavailable, APIProblem."""
        page = self._client.page(next_position - 1, limit=PAGE, wait=min(self._wait, int(seconds)))
        return Batch(events=page.events, unreadable=page.unreadable, complete_to=page.last)

    def rest(self, seconds: float) -> None:
        """Sleep: pages come only when they are requested."""

    def settle(self, is_done: IsDone) -> None:
        """Do nothing: the position is in the reader's own state."""

    def close(self) -> None:
        """Do nothing: the client's owner closes it."""


class KafkaSource:
    """The Kafka topic, read as a member of a consumer group. Offsets are committed after events are recorded."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self._consumer = consumer
        self._membership = Membership(consumer)
        # Records that a rebalance delivered while the source rested.
        self._early: list[tuple[TopicPartition, list[Any]]] = []
        # Uncommitted records of each partition: offset and position, None for a record without a position.
        self._open: dict[TopicPartition, deque[tuple[int, int | None]]] = {}

    def poll(self, next_position: int, seconds: float) -> Batch:
        """Return the next records of any partition."""
        events: list[Envelope] = []
        unreadable: list[str] = []
        early, self._early = self._early, []
        for partition, records in [*early, *self._take(0 if early else seconds)]:
            for record in records:
                position = self._read(record, events, unreadable)
                self._open.setdefault(partition, deque()).append((record.offset, position))
        return Batch(events=events, unreadable=unreadable)

    def _take(self, seconds: float) -> list[tuple[TopicPartition, list[Any]]]:
        polled: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=int(seconds * 1000))
        self._membership.watch()
        return [*polled.items()]

    def _read(self, record: Any, events: list[Envelope], unreadable: list[str]) -> int | None:
        try:
            event = codec.from_record(record.topic, record.key, record.headers, record.value)
        except Undecodable as error:
            unreadable.append(f"partition {record.partition}, offset {record.offset}: {error}")
            return None
        events.append(event)
        return event.position

    def rest(self, seconds: float) -> None:
        """Stay a member of the group without taking records."""
        self._consumer.pause(*self._consumer.assignment())
        self._early += self._take(seconds)
        self._consumer.resume(*self._consumer.assignment())

    def settle(self, is_done: IsDone) -> None:
        """Commit each partition up to its first record that is not recorded yet."""
        offsets = {}
        for partition, open_records in self._open.items():
            done = None
            while open_records and ((position := open_records[0][1]) is None or is_done(position)):
                done = open_records.popleft()[0]
            if done is not None:
                offsets[partition] = OffsetAndMetadata(done + 1, "", -1)
        if offsets := {place: offset for place, offset in offsets.items() if place in self._consumer.assignment()}:
            try:
                self._consumer.commit(offsets)
            except KafkaError as error:
                # The broker is unavailable, or the group rebalances: redelivered events are recognised.
                log.warning("kit.commit_failed", error=f"{type(error).__name__}: {error}")
                if isinstance(error, NO_MEMBER):
                    self._membership.refused()
            else:
                self._membership.committed()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close(timeout_ms=2000)
