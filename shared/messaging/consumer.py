"""Consumer: poll loop that applies a batch in one transaction, and commits its offsets afterwards."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from prometheus_client import Counter, Gauge
from psycopg_pool import PoolTimeout

from shared.backoff import Backoff
from shared.db import UNAVAILABLE, Conn, Pool
from shared.lifecycle import StopSignal
from shared.messaging import waiting_events
from shared.messaging.applier import MANY_KEYS, Applier, ManyKeysFailing
from shared.messaging.group_membership import NO_MEMBER, Membership
from shared.messaging.kafka_clients import MAX_POLL_RECORDS
from shared.messaging.record import Record
from shared.observability import tracing

log = structlog.get_logger()

POLL_MS: Final = 250
# While a dependency is unavailable.
BACKOFF: Final = Backoff(timedelta(milliseconds=200), timedelta(seconds=10))
# Beside an event that fails alone, others are fetched to see whether they succeed; at most so many in all.
MAX_FETCHED: Final = 2 * MAX_POLL_RECORDS
# Interval of the check for waiting events that are due.
WAITING_INTERVAL_SECONDS: Final = 1.0
# kafka-python would otherwise retry for its whole request timeout, and delay a stop.
COMMIT_MS: Final = 5_000
CLOSE_MS: Final = 3_000

# Failures after which single events are not tried: all would fail.
ALL_FAIL: Final = (ManyKeysFailing, PoolTimeout)

BATCHES = Counter("consumer_batches_total", "Batches applied")
COMMITS_FAILED = Counter("consumer_commits_failed_total", "Offset commits that failed", ["error"])
PAUSES = Counter("consumer_pauses_total", "Pauses because a dependency was unavailable", ["error"])
LAG = Gauge("consumer_lag_seconds", "Age of the oldest record in the current batch, 0 if none")


class Consumer:
    """One loop in one thread: kafka-python's consumer is not thread-safe."""

    def __init__(self, kafka: Any, pool: Pool, applier: Applier, stop: StopSignal) -> None:
        self._kafka = kafka
        self._pool = pool
        self._applier = applier
        self._stop = stop
        self._membership = Membership(kafka)
        # Offsets whose commit failed; kept so that a rebalance that returns the same partitions re-reads nothing.
        self._owed: dict[TopicPartition, OffsetAndMetadata] = {}
        self._look_for_waiting = time.monotonic()
        self._oldest: float | None = None
        LAG.set_function(self._lag)

    def run(self) -> None:
        """Poll, apply and commit offsets until stopped; then leave the group."""
        try:
            while not self._stop.is_set():
                self.turn(self._poll())
                self._redrive_waiting()
        finally:
            self._kafka.close(timeout_ms=CLOSE_MS)

    def _poll(self) -> Mapping[TopicPartition, Sequence[Any]]:
        """Poll long enough for a join to complete, and beat; a consumer that has lost its membership for good does not
        beat.
        """
        polled: Mapping[TopicPartition, Sequence[Any]] = self._kafka.poll(timeout_ms=POLL_MS)
        self._membership.watch()
        if not self._membership.lost:
            self._stop.beat()
        return polled

    def _redrive_waiting(self) -> None:
        if time.monotonic() < self._look_for_waiting:
            return
        try:
            due = waiting_events.redrive_due(self._pool, self._applier)
        except UNAVAILABLE as error:
            self._paused_by(error, 1)
            due = False
        self._look_for_waiting = time.monotonic() + (0 if due else WAITING_INTERVAL_SECONDS)

    def turn(self, polled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Process one batch, however long its dependencies are unavailable.

        If stopped meanwhile, nothing of it is committed.
        """
        records = _records(polled)
        if not records:
            if self._owed:
                self._commit(())
            return
        self._oldest = min(message.timestamp for messages in polled.values() for message in messages) / 1000
        attempts = 0
        while not self._apply(records):
            records += self._paused_for(BACKOFF.seconds(attempts), len(records))
            attempts += 1
            if self._stop.is_set():
                return
        self._kafka.resume(*self._kafka.assignment())
        self._commit(records)
        self._oldest = None
        BATCHES.inc()

    def _lag(self) -> float:
        """Return the age of the current batch at the time of the call, so that a waiting consumer shows it."""
        oldest = self._oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _apply(self, records: Sequence[Record]) -> bool:
        """Apply the batch in one transaction; if that fails, one event per transaction.

        Returns False if it must wait.
        """
        failure = self._in_transaction(lambda conn: self._applier.batch(conn, records), records)
        if failure is None:
            return True
        if isinstance(failure, ALL_FAIL):
            return False  # one at a time, each of these events would be held for a fault that is not its own
        return self._one_by_one(sorted(records, key=lambda record: record.sort_key))

    def _one_by_one(self, records: Sequence[Record]) -> bool:
        """Apply the events one by one, and hold those that fail while others succeed.

        Returns False if all must wait.
        """
        failures: dict[tuple[str, bytes | None], Exception] = {}
        behind: list[Record] = []
        for record in records:
            if self._stop.is_set():
                return False
            place = (record.topic, record.key)
            if place in failures:
                behind.append(record)
            elif (failure := self._alone(record)) is not None:
                failures[place] = failure
                behind.append(record)
                if isinstance(failure, ALL_FAIL) or len(failures) > MANY_KEYS:
                    return False
        if len(behind) == len(records):
            return False  # nothing succeeds: the dependency may be the cause, and then nothing is held
        return all(self._wait_alone(record, failures[record.topic, record.key]) for record in behind)

    def _alone(self, record: Record) -> Exception | None:
        self._stop.beat()
        return self._in_transaction(lambda conn: self._applier.batch(conn, [record]), [record])

    def _wait_alone(self, record: Record, why: Exception) -> bool:
        return self._in_transaction(lambda conn: self._applier.wait(conn, record, why), [record]) is None

    def _in_transaction(self, work: Callable[[Conn], None], records: Sequence[Record]) -> Exception | None:
        try:
            with (
                tracing.span("apply batch", links=[record.traceparent for record in records]),
                self._pool.connection() as conn,
                conn.transaction(),
            ):
                work(conn)
        except UNAVAILABLE as error:
            self._paused_by(error, len(records))
            return error
        self._applier.tell()
        log.debug("consumer.batch", events=len(records))
        return None

    def _paused_by(self, error: Exception, events: int) -> None:
        PAUSES.labels(type(error).__name__).inc()
        log.warning("consumer.failed", error=f"{type(error).__name__}: {error}", events=events)

    def _paused_for(self, seconds: float, in_hand: int) -> list[Record]:
        """Stay in the group, and fetch other events until there are enough.

        Polls follow each other without a pause: a join that completes in between would start again.
        """
        until = time.monotonic() + seconds
        taken: list[Record] = []
        while time.monotonic() < until and not self._stop.is_set():
            if in_hand + len(taken) >= MAX_FETCHED:
                self._kafka.pause(*self._kafka.assignment())
            taken += _records(self._poll())
        return taken

    def _commit(self, records: Sequence[Record]) -> None:
        offsets = dict(self._owed)
        for record in sorted(records, key=lambda record: record.offset):
            offsets[TopicPartition(record.topic, record.partition)] = OffsetAndMetadata(record.offset + 1, "", -1)
        mine = self._kafka.assignment()
        still_mine = {partition: at for partition, at in offsets.items() if partition in mine}
        try:
            self._kafka.commit(still_mine, timeout_ms=COMMIT_MS)
        except KafkaError as error:
            # The partition or the broker is lost: the batch is in the database, and the inbox skips it if it comes
            # again.
            self._owed = still_mine
            COMMITS_FAILED.labels(type(error).__name__).inc()
            log.warning("consumer.commit_failed", error=f"{type(error).__name__}: {error}")
            if isinstance(error, NO_MEMBER):
                self._membership.refused()
        else:
            self._owed = {}
            self._membership.committed()


def _records(polled: Mapping[TopicPartition, Sequence[Any]]) -> list[Record]:
    return [record_of(message) for messages in polled.values() for message in messages]


def record_of(message: Any) -> Record:
    """Return kafka-python's record as a Record."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        headers=tuple(message.headers),
        value=message.value,
    )


MakeConsumer = Callable[[], Any]
