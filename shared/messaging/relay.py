"""Relay: sends outbox rows to Kafka in order and marks acknowledged ones, under one lock per database."""

import time
from collections import Counter as Counting
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from prometheus_client import Counter, Gauge, Histogram

from shared.backoff import Backoff
from shared.db import UNAVAILABLE, Conn, Pool
from shared.events.base import Envelope
from shared.lifecycle import StopSignal
from shared.messaging import codec
from shared.messaging.feed import Feed, stamp
from shared.messaging.producers import Future, MakeProducer, Producer, Producers
from shared.messaging.relay_lanes import LANES, Lane, Lanes, Row, unsent
from shared.observability import tracing
from shared.tx import Clock, utc_now

log = structlog.get_logger()

BATCH: Final = 500
# Longer than the producer's delivery timeout: when the wait is over, no send is still open.
SEND_TIMEOUT_SECONDS: Final = 8.0
# Wait for a batch's last acknowledgements before the other lanes' new rows are sent.
_BATCH_TIMEOUT_SECONDS: Final = 0.5
_IDLE_INTERVAL_SECONDS: Final = 0.05
# One relay per database: any number, the same in every release.
_RELAY_LOCK: Final = 0x6543_6572_74
SENT = Counter("outbox_sent_total", "Events acknowledged by Kafka", ["topic"])
OLDEST = Gauge("outbox_oldest_unsent_seconds", "Age of the oldest event without acknowledgement, 0 if none")
UNSENDABLE = Counter("outbox_unsendable_total", "Events marked as unsendable; each blocks its key")
PUBLISH = Histogram("outbox_publish_seconds", "Time from a batch's first send to its last acknowledgement")
# Between turns that sent nothing.
POLLING: Final = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=250))
# The shorter cap of a feed's relay keeps the median publish latency under 100 ms.
FEED_POLLING: Final = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=100))
RETRY_DELAY_SECONDS: Final = 1.0
# Faults of the row, not of Kafka: no later attempt can send it. The others are raised by the client, before sending.
_ROW_FAULTS: Final = (MessageSizeTooLargeError, InvalidRecordError, ValueError, TypeError)
_TOPIC_FAULTS: Final = (TopicAuthorizationFailedError, UnknownTopicOrPartitionError)


def relay_batch(
    pool: Pool, producer: Producer, *, clock: Clock = utc_now, limit: int = BATCH, lanes: Lanes | None = None
) -> int:
    """Send one batch. Returns the number of acknowledged rows.

    Raises KafkaError if a send failed and none succeeded.
    """
    batch = _send_batch(pool, producer, lanes=lanes or Lanes(), go_on=lambda: True, clock=clock, limit=limit)
    if batch is not None and batch.failure is not None and not batch.sent:
        raise batch.failure
    return 0 if batch is None else batch.sent


def _send_batch(
    pool: Pool,
    producer: Producer,
    *,
    lanes: Lanes,
    go_on: Callable[[], bool],
    clock: Clock = utc_now,
    limit: int = BATCH,
) -> "_Batch | None":
    """Send unsent rows, oldest first, and mark acknowledged ones. Returns None while another relay holds the lock.

    While a lane's records are unacknowledged, the other lanes' new rows are sent; `go_on` is called in between.

    The only place where a transaction waits for the network: it holds the advisory lock, so a relay that has lost its
    connection has lost its lock, too.
    """
    with pool.connection() as conn, conn.transaction():
        if not _take_lock(conn):
            return None
        OLDEST.set(_oldest_age(conn, clock))
        batch = _Batch(conn=conn, producer=producer, lanes=lanes, clock=clock)
        if batch.send(limit):
            with PUBLISH.time():
                batch.settle(_BATCH_TIMEOUT_SECONDS)
                while batch.waiting and batch.is_young() and go_on():
                    batch.settle(_BATCH_TIMEOUT_SECONDS if batch.send(limit) else _IDLE_INTERVAL_SECONDS)
                batch.finish()
    log.debug("relay.batch", events=batch.sent)
    return batch


def stamp_batch(pool: Pool, feed: Feed, *, limit: int = BATCH) -> int:
    """Stamp a feed's new events with positions and signatures, and commit. Returns their number."""
    with pool.connection() as conn, conn.transaction():
        return stamp(conn, feed, limit) if _take_lock(conn) else 0


def _take_lock(conn: Conn) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_RELAY_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def _oldest_age(conn: Conn, clock: Clock) -> float:
    """Return the age of the oldest unsent row in seconds; blocked keys have a metric of their own."""
    row = conn.execute(
        """SELECT time FROM outbox AS o WHERE sent_at IS NULL AND NOT EXISTS (
             SELECT 1 FROM outbox AS b
             WHERE b.topic = o.topic AND b.key = o.key AND b.unsendable_reason IS NOT NULL)
           ORDER BY id LIMIT 1"""
    ).fetchone()
    return 0.0 if row is None else float((clock() - row[0]).total_seconds())


@dataclass(kw_only=True)
class _Batch:
    """The sends of one transaction. A lane that fails, or waits for acknowledgements, sends nothing more."""

    conn: Conn
    producer: Producer
    lanes: Lanes
    clock: Clock
    failure: KafkaError | None = None
    worked: Counting[str] = field(default_factory=Counting)
    failed_topics: set[str] = field(default_factory=set)
    waiting: list[tuple[Row, Future, float]] = field(default_factory=list)
    _closed: set[Lane] = field(default_factory=set)
    # First failed row of each key: later rows of the key do not count as sent.
    _failed: dict[tuple[str, str], int] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _last_send: float = field(default_factory=time.monotonic)

    @property
    def sent(self) -> int:
        """The number of acknowledged rows."""
        return self.worked.total()

    def is_young(self) -> bool:
        """Return whether more may be sent: the database ends a transaction that waits too long."""
        return time.monotonic() < self._begun + SEND_TIMEOUT_SECONDS

    def send(self, limit: int) -> int:
        """Send the rows of free lanes. Returns their number."""
        busy = {row.lane for row, _, _ in self.waiting}
        rows = unsent(self.conn, self.lanes.shares(limit, without=self._closed | busy), limit)
        for row in rows:
            if row.lane not in self._closed and row.key not in self._failed:
                self._send_one(row)
        return len(rows)

    def _send_one(self, row: Row) -> None:
        started = self._last_send = time.monotonic()
        envelope = row.envelope
        future: Future | None = None
        try:
            future = self.producer.send(
                envelope.topic, key=envelope.key, value=envelope.data, headers=codec.to_headers(envelope)
            )
            if future.is_done:
                future.get(0)
        except _ROW_FAULTS as error:
            self._mark_unsendable(row, error)
        except KafkaError as error:
            # Without a future, Kafka accepts nothing of this topic now: each further row would wait as long.
            whole_topic = future is None or isinstance(error, _TOPIC_FAULTS)
            for lane in [(row.lane[0], number) for number in range(LANES)] if whole_topic else [row.lane]:
                self._close(lane, error)
            self._failed.setdefault(row.key, row.id)
        else:
            self.waiting.append((row, future, started))

    def settle(self, seconds: float) -> None:
        """Wait at most `seconds` for the outcomes, and mark acknowledged rows."""
        deadline = time.monotonic() + seconds
        still: list[tuple[Row, Future, float]] = []
        unknown: set[tuple[str, str]] = set()
        acknowledged: list[int] = []
        for row, future, started in self.waiting:
            try:
                future.get(max(0.0, deadline - time.monotonic()))
            except _ROW_FAULTS as error:
                self._mark_unsendable(row, error)
            except KafkaError as error:
                if isinstance(error, KafkaTimeoutError) and not future.is_done:
                    unknown.add(row.key)
                    still.append((row, future, started))
                else:
                    self._failed.setdefault(row.key, row.id)
                    self._close(row.lane, error)
            else:
                if row.key in unknown:
                    still.append((row, future, started))
                elif row.id < self._failed.get(row.key, row.id + 1):
                    acknowledged.append(row.id)
                    self._acknowledged(row, started)
        self.waiting = still
        if acknowledged:
            self.conn.execute("UPDATE outbox SET sent_at = %s WHERE id = ANY(%s)", (self.clock(), acknowledged))

    def finish(self) -> None:
        """Wait until the producer has given up on what it could not send."""
        self.settle(max(0.0, self._last_send + SEND_TIMEOUT_SECONDS - time.monotonic()))
        for row, _, _ in self.waiting:
            self._close(row.lane, KafkaTimeoutError("no outcome in time"))

    def _acknowledged(self, row: Row, started: float) -> None:
        self.worked[row.lane[0]] += 1
        self.lanes.worked(row.lane)
        SENT.labels(row.envelope.topic).inc()
        _trace(row.envelope, started)

    def _close(self, lane: Lane, error: KafkaError) -> None:
        self.failure = error
        self.failed_topics.add(lane[0])
        self._closed.add(lane)
        if self.lanes.failed(lane):
            log.warning("relay.lane_failed", topic=lane[0], lane=lane[1], error=f"{type(error).__name__}: {error}")

    def _mark_unsendable(self, row: Row, error: Exception) -> None:
        self._failed.setdefault(row.key, row.id)
        UNSENDABLE.inc()
        log.error("outbox.unsendable", event_id=str(row.envelope.id), type=row.envelope.type, error=str(error))
        self.conn.execute("UPDATE outbox SET unsendable_reason = %s WHERE id = %s", (type(error).__name__, row.id))


def _trace(envelope: Envelope, started: float) -> None:
    about = {"messaging.destination.name": envelope.topic.value, "messaging.message.id": str(envelope.id)}
    tracing.sent(f"send {envelope.type}", parent=envelope.traceparent, started=started, attributes=about)


def run(pool: Pool, make_producer: MakeProducer, stop: StopSignal, *, feed: Feed | None = None) -> None:
    """Relay until stopped, then flush and close. Kafka or the database may be unavailable at any time.

    A feed is stamped even while Kafka is unavailable, for its readers over HTTP.
    """
    producers = Producers(make_producer)
    lanes = Lanes()
    polling, idle = POLLING if feed is None else FEED_POLLING, 0
    try:
        while not stop.is_set():
            stop.beat()
            try:
                sent = _turn(pool, producers, lanes, stop, feed)
            except UNAVAILABLE as error:
                log.warning("relay.database_failed", error=f"{type(error).__name__}: {error}")
                stop.wait(RETRY_DELAY_SECONDS)
                continue
            if sent:
                idle = 0
            else:
                stop.wait(polling.seconds(idle))
                idle += 1
    finally:
        producers.close()


def _turn(pool: Pool, producers: Producers, lanes: Lanes, stop: StopSignal, feed: Feed | None) -> int:
    if feed is not None:
        stamp_batch(pool, feed)
    batch = _send_batch(pool, producers, lanes=lanes, go_on=lambda: _go_on(pool, stop, feed))
    if batch is None:
        return 0
    producers.judge(worked=batch.worked, failed=batch.failed_topics, error=batch.failure)
    return batch.sent


def _go_on(pool: Pool, stop: StopSignal, feed: Feed | None) -> bool:
    """Stamp new events during a long batch, under its lock. Returns False if no more is to be sent."""
    stop.beat()
    if feed is not None:
        with pool.connection() as conn, conn.transaction():
            stamp(conn, feed, BATCH)
    return not stop.is_set()
