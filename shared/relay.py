"""The relay's loop: poll with back-off, make the producer anew when it fails twice."""

from typing import Final

import psycopg
import structlog
from kafka.errors import KafkaError

from shared.consumer import Stop
from shared.db import Pool
from shared.outbox import MakeProducer, Producer, relay_batch

log = structlog.get_logger()

SHORTEST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
AFTER_FAILURE_SECONDS: Final = 1.0


def run(pool: Pool, make_producer: MakeProducer, stop: Stop) -> None:
    """Relay until told to stop, then flush and close. Kafka or the database may be away at any time."""
    producer: Producer | None = None
    failures = 0
    pause = SHORTEST_SECONDS
    try:
        while not stop.is_set():
            stop.beat()
            try:
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
                pause = SHORTEST_SECONDS if sent else min(pause * 2, LONGEST_SECONDS)
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
