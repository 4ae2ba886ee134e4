"""The relay: unsent outbox rows to Kafka in order, marked once acknowledged, under one lock per database."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
import structlog
from kafka.errors import KafkaError, MessageSizeTooLargeError
from prometheus_client import Counter, Gauge, Histogram

from shared import codec, tracing
from shared.db import Conn, Pool
from shared.events.base import Envelope, Topic
from shared.feed import Feed, stamp
from shared.outbox import ENVELOPE, envelope_of
from shared.process import Stop
from shared.tx import Clock, utc_now

log = structlog.get_logger()

BATCH: Final = 500
# Longer than the producer's own delivery time-out: when the wait is over, no record is still under way.
SEND_TIMEOUT_SECONDS: Final = 8.0
# One relay per database: any number, the same in every release.
_RELAY_LOCK: Final = 0x6543_6572_74
SENT = Counter("outbox_sent_total", "Events acknowledged by Kafka", ["topic"])
OLDEST = Gauge("outbox_oldest_unsent_seconds", "Age of the oldest event not yet acknowledged, 0 if none")
UNSENDABLE = Counter("outbox_unsendable_total", "Events that can never be sent; each blocks its key")
PUBLISH = Histogram("outbox_publish_seconds", "From the first send of a batch to its last acknowledgement")
SHORTEST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
# Outsiders wait at a feed's head: half of them shall have an event within 0.1 s of its commit.
LONGEST_OF_A_FEED_SECONDS: Final = 0.1
AFTER_FAILURE_SECONDS: Final = 1.0


class Producer(Protocol):
    """What the relay needs of kafka-python's producer."""

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Queue one record; the future's get(timeout) waits for the acknowledgement."""

    def close(self, timeout: float) -> None:
        """Flush and let go."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    id: int
    envelope: Envelope


def relay_batch(pool: Pool, producer: Producer, *, clock: Clock = utc_now, limit: int = BATCH) -> int:
    """Send what is unsent, oldest first; mark what was acknowledged; say how many.

    The one place where a transaction waits for the network: the advisory lock lives in it, so that a relay
    that lost its connection has lost its right as well. Raises KafkaError after marking what did arrive.
    """
    with pool.connection() as conn, conn.transaction():
        if not _take_lock(conn):
            return 0
        rows = _unsent(conn, limit)
        OLDEST.set((clock() - rows[0].envelope.time).total_seconds() if rows else 0)
        if not rows:
            return 0
        sent, failure = _send(conn, producer, rows)
        conn.execute("UPDATE outbox SET sent_at = %s WHERE id = ANY(%s)", (clock(), sent))
    log.debug("relay.batch", events=len(sent))
    if failure is not None:
        raise failure
    return len(sent)


def stamp_batch(pool: Pool, feed: Feed, *, limit: int = BATCH) -> int:
    """Give a feed's new events their positions and signatures, and commit; say how many."""
    with pool.connection() as conn, conn.transaction():
        return stamp(conn, feed, limit) if _take_lock(conn) else 0


def _take_lock(conn: Conn) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_RELAY_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def _unsent(conn: Conn, limit: int) -> list[_Row]:
    """What may be sent: of a feed what is stamped, of a key that is blocked nothing."""
    rows = conn.execute(
        f"""SELECT id, {ENVELOPE}
           FROM outbox AS o
           WHERE sent_at IS NULL
             AND (position IS NOT NULL OR topic NOT IN (SELECT f.topic FROM feeds AS f))
             AND NOT EXISTS (
               SELECT 1 FROM outbox AS b
               WHERE b.topic = o.topic AND b.key = o.key AND b.unsendable_reason IS NOT NULL)
           ORDER BY id LIMIT %s""",
        (limit,),
    ).fetchall()
    return [_Row(id=row[0], envelope=envelope_of(row[1:])) for row in rows]


def _send(conn: Conn, producer: Producer, rows: list[_Row]) -> tuple[list[int], KafkaError | None]:
    """Send all, wait for every acknowledgement; after the first failure of a key nothing of that key counts."""
    deadline = time.monotonic() + SEND_TIMEOUT_SECONDS
    started = time.monotonic()
    with PUBLISH.time():
        futures = _send_all(producer, rows)
        sent: list[int] = []
        failed: set[tuple[Topic, str]] = set()
        failure: KafkaError | None = None
        for row, future in futures:
            key = (row.envelope.topic, row.envelope.subject)
            try:
                future.get(max(0.0, deadline - time.monotonic()))
            except MessageSizeTooLargeError as error:
                _set_aside(conn, row, error)
                failed.add(key)
            except KafkaError as error:
                failed.add(key)
                failure = error
            else:
                if key not in failed:
                    sent.append(row.id)
                    SENT.labels(row.envelope.topic).inc()
                    _trace(row.envelope, started)
    return sent, failure


def _trace(envelope: Envelope, started: float) -> None:
    about = {"messaging.destination.name": envelope.topic.value, "messaging.message.id": str(envelope.id)}
    tracing.sent(f"send {envelope.type}", parent=envelope.traceparent, started=started, attributes=about)


class _Failed:
    """A send that failed before it became a future."""

    def __init__(self, error: KafkaError) -> None:
        self.error = error

    def get(self, timeout: float) -> None:
        raise self.error


def _send_all(producer: Producer, rows: list[_Row]) -> list[tuple[_Row, Any]]:
    """Hand the rows over; if Kafka takes none just now, only the first is tried: each waits for it anew."""
    futures: list[tuple[_Row, Any]] = []
    for row in rows:
        future = _send_one(producer, row.envelope)
        futures.append((row, future))
        if isinstance(future, _Failed) and not isinstance(future.error, MessageSizeTooLargeError):
            break
    return futures


def _send_one(producer: Producer, envelope: Envelope) -> Any:
    try:
        return producer.send(envelope.topic, key=envelope.key, value=envelope.data, headers=codec.to_headers(envelope))
    except KafkaError as error:
        return _Failed(error)


def _set_aside(conn: Conn, row: _Row, error: KafkaError) -> None:
    UNSENDABLE.inc()
    log.error("outbox.unsendable", event_id=str(row.envelope.id), type=row.envelope.type, error=str(error))
    conn.execute("UPDATE outbox SET unsendable_reason = %s WHERE id = %s", (type(error).__name__, row.id))


MakeProducer = Callable[[], Producer]


def run(pool: Pool, make_producer: MakeProducer, stop: Stop, *, feed: Feed | None = None) -> None:
    """Relay until told to stop, then flush and close. Kafka or the database may be away at any time.

    A feed is stamped though Kafka may be away: its readers over HTTP need none.
    """
    producer: Producer | None = None
    failures = 0
    pause = SHORTEST_SECONDS
    longest = LONGEST_SECONDS if feed is None else LONGEST_OF_A_FEED_SECONDS
    try:
        while not stop.is_set():
            stop.beat()
            try:
                if feed is not None:
                    stamp_batch(pool, feed)
                producer = producer or make_producer()
                sent = relay_batch(pool, producer)
            except KafkaError as error:
                failures += 1
                log.warning("relay.kafka_failed", error=f"{type(error).__name__}: {error}", failures=failures)
                # An idempotent producer whose broker has lost its state stays broken; a new one works at once.
                if failures >= 2 and producer is not None:
                    _close(producer)
                    producer = None
                stop.wait(AFTER_FAILURE_SECONDS)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.warning("relay.database_failed", error=f"{type(error).__name__}: {error}")
                stop.wait(AFTER_FAILURE_SECONDS)
            else:
                failures = 0
                pause = SHORTEST_SECONDS if sent else min(pause * 2, longest)
                if not sent:
                    stop.wait(pause)
    finally:
        if producer is not None:
            _close(producer)


def _close(producer: Producer) -> None:
    """Let go of it, though Kafka may be away: what it has not sent is still in the table."""
    try:
        producer.close(timeout=2)
    except KafkaError as error:
        log.warning("relay.close_failed", error=f"{type(error).__name__}: {error}")
