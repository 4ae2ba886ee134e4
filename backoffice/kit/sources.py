"""Where events come from: the topic, or page after page over HTTP. Both give what came, and are told what is done."""

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
    """What came. `complete_to` is the position up to which the source has nothing else, if it can tell."""

    events: Sequence[Envelope]
    unreadable: Sequence[str]
    complete_to: int | None = None


class Source(Protocol):
    """A way in."""

    def poll(self, next_position: int, seconds: float) -> Batch:
        """What has come, waiting so long at most."""

    def rest(self, seconds: float) -> None:
        """Take nothing for so long."""

    def settle(self, is_done: IsDone) -> None:
        """Keep, on the other side, how far everything is booked."""

    def close(self) -> None:
        """Let go."""


class HTTPSource:
    """Pages in order; nothing to keep on the other side."""

    def __init__(self, client: FeedClient, *, wait_seconds: int = WAIT_SECONDS) -> None:
        self._client = client
        self._wait = wait_seconds

    def poll(self, next_position: int, seconds: float) -> Batch:
        """The next page. Raises FeedAway, FeedRefused."""
        page = self._client.page(next_position - 1, limit=PAGE, wait=min(self._wait, int(seconds)))
        return Batch(events=page.events, unreadable=page.unreadable, complete_to=page.last)

    def rest(self, seconds: float) -> None:
        """Pages come when they are asked for."""

    def settle(self, is_done: IsDone) -> None:
        """The position in our own state says it all."""

    def close(self) -> None:
        """The client is closed by who made it."""


class KafkaSource:
    """The topic, as a member of a group of ours. Offsets follow what is booked, never the other way round."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self._consumer = consumer
        self._membership = Membership(consumer)
        # What a rebalance handed out while nothing was to be taken.
        self._early: list[tuple[TopicPartition, list[Any]]] = []
        # Per partition, what came and is not committed: offset and position, None for what has none.
        self._open: dict[TopicPartition, deque[tuple[int, int | None]]] = {}

    def poll(self, next_position: int, seconds: float) -> Batch:
        """Some records of any partitions."""
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
        """Stay a member of the group, but take nothing."""
        self._consumer.pause(*self._consumer.assignment())
        self._early += self._take(seconds)
        self._consumer.resume(*self._consumer.assignment())

    def settle(self, is_done: IsDone) -> None:
        """Commit, of each partition, up to the first record that still waits for one of another partition."""
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
                # A broker that is away, or a group that is sharing out anew: what comes again is known.
                log.warning("kit.commit_failed", error=f"{type(error).__name__}: {error}")
                if isinstance(error, NO_MEMBER):
                    self._membership.refused()
            else:
                self._membership.committed()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close(timeout_ms=2000)
