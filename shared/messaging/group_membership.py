"""Membership of a consumer group: kept by the client that ends every join it begins, and watched by the loop."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from kafka import KafkaConsumer
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import MemberState
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

# What a broker, or the client itself, says to an offset commit of one that is no member.
NO_MEMBER: Final = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
FIRST_ASK_SECONDS: Final = 20.0
LONGEST_ASK_SECONDS: Final = 3600.0
# Out of the group for so many session time-outs, and joining again has not helped: only a new process may.
GIVE_UP_AFTER: Final = 3
LEAVE_MS: Final = 3_000

MEMBER = Gauge("consumer_group_member", "1 while the consumer is a member of its group, else 0")
JOINS = Counter("consumer_group_rejoins_total", "Attempts to rejoin the consumer group")


class Client(Protocol):
    """Kafka client, as far as the watch needs it."""

    session_seconds: float

    def out_of_group(self) -> bool:
        """Whether it is no member, though its group's coordinator can be reached."""

    def generation(self) -> int:
        """The number of the group's present round, as far as the client knows."""

    def assignment(self) -> Any:
        """The partitions that it was given."""

    def ask_again(self) -> None:
        """Ask for partitions; a member that is given the same as before disturbs nobody."""

    def join_again(self) -> None:
        """Leave the group and join it as a new member."""


class GroupConsumer(KafkaConsumer):  # type: ignore[misc]  # it comes without types
    """A client that ends the joins it begins.

    kafka-python 3.0.12 awaits a join only in a poll that finds a reason to join. If a poll's time-out comes first and
    the reason goes meanwhile (a leader's metadata had changed, and its own assignment makes them equal again), nobody
    picks the finished join up: no heartbeat goes out, the broker drops the member, and it reads on without committing.
    """

    def poll(self, timeout_ms: float = 0, max_records: int | None = None, update_offsets: bool = True) -> Any:
        """Fetch records; a join under way comes first."""
        if self._coordinator.rebalance_in_progress():
            self._coordinator.request_rejoin()
        return super().poll(timeout_ms, max_records, update_offsets)

    @property
    def session_seconds(self) -> float:
        """After so many seconds without a heartbeat the broker drops the member."""
        return float(self.config["session_timeout_ms"]) / 1000

    def out_of_group(self) -> bool:
        """As Client says; while Kafka is away nobody can tell, and it counts as a member."""
        group = self._coordinator
        lost = group.group_metadata().state is not MemberState.STABLE or group.heartbeat.session_timeout_expired()
        return lost and not group.coordinator_unknown()

    def generation(self) -> int:
        """As Client says."""
        return int(self.group_metadata().generation_id)

    def ask_again(self) -> None:
        """As Client says: the broker answers a follower at once; a leader has all partitions given out again."""
        self._coordinator.request_rejoin()

    def join_again(self) -> None:
        """As Client says."""
        topics = sorted(self.subscription() or ())
        self._coordinator.maybe_leave_group(timeout_ms=LEAVE_MS)
        self.unsubscribe()
        self.subscribe(topics)


class Membership:
    """The loop's watch over its client: joins again within a session time-out, and says if that does not help."""

    def __init__(self, client: Client, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._good = self._acted = now()
        self._refused: tuple[int, float] | None = None
        self._empty: float | None = None
        self._patience = FIRST_ASK_SECONDS
        MEMBER.set(1)

    @property
    def lost(self) -> bool:
        """Out of the group for good, as it seems: the process shall be started again."""
        return self._now() - self._good > GIVE_UP_AFTER * self._client.session_seconds

    def committed(self) -> None:
        """The group took a commit."""
        self._refused = None

    def refused(self) -> None:
        """The group did not take a commit. In a rebalance that happens, and the next round ends it."""
        if self._refused is None:
            self._refused = self._client.generation(), self._now()

    def watch(self) -> None:
        """Look, and join again if need be. Call it after each poll."""
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
        """Ask for partitions when there have been none for a while, more and more seldom.

        A leader that joined while it lacked a topic's metadata hands out nothing: without this the group could stand
        still until somebody restarts it. One member too many is given none either, and must not keep the others busy.
        """
        if self._client.assignment():
            self._empty, self._patience = None, FIRST_ASK_SECONDS
        elif self._empty is None:
            self._empty = now
        elif now - self._empty > self._patience:
            log.warning("consumer.left_out", seconds=self._patience)
            self._empty, self._patience = now, min(self._patience * 2, LONGEST_ASK_SECONDS)
            self._client.ask_again()
