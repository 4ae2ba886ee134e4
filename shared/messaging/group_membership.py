"""Membership of a consumer group: a client that completes every join, and a watch that rejoins."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from kafka import KafkaConsumer
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import MemberState
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

# Errors of an offset commit, from the broker or the client, that mean: not a member.
NO_MEMBER: Final = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
MIN_REJOIN_DELAY_SECONDS: Final = 20.0
MAX_REJOIN_DELAY_SECONDS: Final = 3600.0
# Number of session timeouts outside the group, despite rejoining, after which the process must restart.
GIVE_UP_AFTER: Final = 3
LEAVE_MS: Final = 3_000

MEMBER = Gauge("consumer_group_member", "1 while the consumer is a member of its group, else 0")
JOINS = Counter("consumer_group_rejoins_total", "Attempts to rejoin the consumer group")


class Client(Protocol):
    """Kafka client, as far as the watch needs it."""

    session_seconds: float

    def out_of_group(self) -> bool:
        """Return whether the client is no member although its group's coordinator is reachable."""

    def generation(self) -> int:
        """Return the group's present generation, as far as the client knows it."""

    def assignment(self) -> Any:
        """Return the assigned partitions."""

    def ask_again(self) -> None:
        """Request partitions; a member that gets the same ones again disturbs nobody."""

    def join_again(self) -> None:
        """Leave the group and join it as a new member."""


class GroupConsumer(KafkaConsumer):  # type: ignore[misc]  # it comes without types
    """Consumer client that completes every join it begins.

    kafka-python 3.0.12 awaits a join only in a poll that finds a reason to join. If the poll times out first and the
    reason disappears meanwhile (a leader's metadata had changed, and its own assignment makes them equal again), nobody
    completes the join: no heartbeat is sent, the broker drops the member, and it reads on without committing.
    """

    def poll(self, timeout_ms: float = 0, max_records: int | None = None, update_offsets: bool = True) -> Any:
        """Fetch records; first completes a join in progress."""
        if self._coordinator.rebalance_in_progress():
            self._coordinator.request_rejoin()
        return super().poll(timeout_ms, max_records, update_offsets)

    @property
    def session_seconds(self) -> float:
        """The time without a heartbeat after which the broker drops the member."""
        return float(self.config["session_timeout_ms"]) / 1000

    def out_of_group(self) -> bool:
        """Implement Client; while Kafka is unavailable this is unknown, and the client counts as a member."""
        group = self._coordinator
        lost = group.group_metadata().state is not MemberState.STABLE or group.heartbeat.session_timeout_expired()
        return lost and not group.coordinator_unknown()

    def generation(self) -> int:
        """Implement Client."""
        return int(self.group_metadata().generation_id)

    def ask_again(self) -> None:
        """Implement Client: the broker answers a follower at once; a leader triggers a new assignment of all
        partitions.
        """
        self._coordinator.request_rejoin()

    def join_again(self) -> None:
        """Implement Client."""
        topics = sorted(self.subscription() or ())
        self._coordinator.maybe_leave_group(timeout_ms=LEAVE_MS)
        self.unsubscribe()
        self.subscribe(topics)


class Membership:
    """Watch of a consumer's membership: rejoins within a session timeout, and reports if that does not help."""

    def __init__(self, client: Client, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._good = self._acted = now()
        self._refused: tuple[int, float] | None = None
        self._empty: float | None = None
        self._patience = MIN_REJOIN_DELAY_SECONDS
        MEMBER.set(1)

    @property
    def lost(self) -> bool:
        """Whether the membership seems lost for good: the process must be restarted."""
        return self._now() - self._good > GIVE_UP_AFTER * self._client.session_seconds

    def committed(self) -> None:
        """Record an accepted commit."""
        self._refused = None

    def refused(self) -> None:
        """Record a refused commit. This happens during a rebalance, and ends with the next generation."""
        if self._refused is None:
            self._refused = self._client.generation(), self._now()

    def watch(self) -> None:
        """Check the membership, and rejoin if needed. Call it after each poll."""
        now = self._now()
        if not self._client.out_of_group() and not self._commits_refused():
            self._good = now
            MEMBER.set(1)
            self._ask_if_empty(now)
        elif now - max(self._good, self._acted) > self._client.session_seconds:
            log.error("consumer.out_of_group", seconds=round(now - self._good))
            self._acted, self._refused = now, None
            MEMBER.set(0)
            JOINS.inc()
            self._client.join_again()

    def _commits_refused(self) -> bool:
        if self._refused is not None and self._refused[0] != self._client.generation():
            self._refused = None
        return self._refused is not None

    def _ask_if_empty(self, now: float) -> None:
        """Request partitions if there have been none for a while, with growing delays.

        A leader that joined without a topic's metadata assigns no partitions: without this the group could stand still
        until a restart. A surplus member gets none either, and must not disturb the others.
        """
        if self._client.assignment():
            self._empty, self._patience = None, MIN_REJOIN_DELAY_SECONDS
        elif self._empty is None:
            self._empty = now
        elif now - self._empty > self._patience:
            log.warning("consumer.without_partitions", seconds=self._patience)
            self._empty, self._patience = now, min(self._patience * 2, MAX_REJOIN_DELAY_SECONDS)
            self._client.ask_again()
