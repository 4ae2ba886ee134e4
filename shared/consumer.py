"""Events in: the poll loop that applies a batch in one transaction and commits its offsets afterwards."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from prometheus_client import Counter, Gauge

from shared import tracing
from shared.apply import TRANSIENT, Applier, ManyKeysFailing
from shared.db import Pool
from shared.parking import Record
from shared.process import Stop

log = structlog.get_logger()

POLL_MS: Final = 250
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
LEFT_OUT_SECONDS: Final = 20.0
# kafka-python tries for its whole request time-out otherwise, and SIGTERM would wait for it.
COMMIT_MS: Final = 5_000
CLOSE_MS: Final = 3_000

BATCHES = Counter("consumer_batches_total", "Batches applied and committed")
PAUSES = Counter("consumer_pauses_total", "Times the consumer paused because something it needs was down", ["error"])
LAG = Gauge("consumer_lag_seconds", "Age of the oldest record of the batch in hand, 0 without one")


class Consumer:
    """One loop, one thread: kafka-python's consumer is not thread-safe."""

    def __init__(self, kafka: Any, pool: Pool, applier: Applier, stop: Stop) -> None:
        self._kafka = kafka
        self._pool = pool
        self._applier = applier
        self._stop = stop
        self._assigned = time.monotonic()
        self._oldest: float | None = None
        LAG.set_function(self._lag)

    def run(self) -> None:
        """Poll, apply, commit offsets, until told to stop; then leave the group."""
        try:
            while not self._stop.is_set():
                self._stop.beat()
                self.turn(self._kafka.poll(timeout_ms=POLL_MS))
                self._join_again_if_left_out()
        finally:
            self._kafka.close(timeout_ms=CLOSE_MS)

    def _join_again_if_left_out(self) -> None:
        """Ask for partitions anew when there have been none for a while.

        A leader that joined while it lacked a topic's metadata hands out nothing, and takes its own snapshot for
        complete afterwards: without this the group would stand still until somebody restarts it. A surplus
        member asks in vain now and then, which moves nobody's partitions.
        """
        if self._kafka.assignment():
            self._assigned = time.monotonic()
        elif time.monotonic() - self._assigned > LEFT_OUT_SECONDS:
            topics = sorted(self._kafka.subscription() or ())
            log.warning("consumer.left_out", topics=topics)
            self._kafka.unsubscribe()
            self._kafka.subscribe(topics)
            self._assigned = time.monotonic()

    def turn(self, polled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """One batch, however long its dependencies are away. Stopped in between, nothing of it is committed."""
        records = _records(polled)
        if not records:
            return
        self._oldest = min(message.timestamp for messages in polled.values() for message in messages) / 1000
        pause = FIRST_PAUSE_SECONDS
        while not self._apply(records):
            records += self._paused_for(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            if self._stop.is_set():
                return
        self._kafka.resume(*self._kafka.assignment())
        self._commit(records)
        self._oldest = None
        BATCHES.inc()

    def _lag(self) -> float:
        """When it is asked for, not when a batch came: a consumer that waits shows it."""
        oldest = self._oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _apply(self, records: Sequence[Record]) -> bool:
        """The whole batch in one transaction; if that fails, one event per transaction; False if it must wait."""
        failure = self._in_transaction(records)
        if failure is None:
            return True
        if isinstance(failure, ManyKeysFailing):
            return False  # one at a time, each of these events would be held for a fault that is not its own
        ordered = sorted(records, key=lambda record: record.sort_key)
        return all(self._in_transaction([record]) is None for record in ordered)

    def _in_transaction(self, records: Sequence[Record]) -> Exception | None:
        try:
            with (
                tracing.span("apply batch", links=[record.traceparent for record in records]),
                self._pool.connection() as conn,
                conn.transaction(),
            ):
                self._applier.batch(conn, records)
        except TRANSIENT as error:
            PAUSES.labels(type(error).__name__).inc()
            log.warning("consumer.failed", error=f"{type(error).__name__}: {error}", events=len(records))
            return error
        self._applier.tell()
        log.debug("consumer.batch", events=len(records))
        return None

    def _paused_for(self, seconds: float) -> list[Record]:
        """Fetch nothing but stay in the group; what a rebalance hands out meanwhile joins the batch."""
        until = time.monotonic() + seconds
        taken: list[Record] = []
        while time.monotonic() < until and not self._stop.is_set():
            self._stop.beat()
            self._kafka.pause(*self._kafka.assignment())
            taken += _records(self._kafka.poll(timeout_ms=0))
            self._stop.wait(0.1)
        return taken

    def _commit(self, records: Sequence[Record]) -> None:
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        for record in sorted(records, key=lambda record: record.offset):
            offsets[TopicPartition(record.topic, record.partition)] = OffsetAndMetadata(record.offset + 1, "", -1)
        mine = self._kafka.assignment()
        try:
            still_mine = {partition: at for partition, at in offsets.items() if partition in mine}
            self._kafka.commit(still_mine, timeout_ms=COMMIT_MS)
        except KafkaError as error:
            # Lost the partition or the broker: the batch is in the database, the inbox refuses it the second time.
            log.warning("consumer.commit_failed", error=f"{type(error).__name__}: {error}")


def _records(polled: Mapping[TopicPartition, Sequence[Any]]) -> list[Record]:
    return [record_of(message) for messages in polled.values() for message in messages]


def record_of(message: Any) -> Record:
    """kafka-python's record as ours."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        headers=tuple(message.headers),
        value=message.value,
    )


MakeConsumer = Callable[[], Any]
