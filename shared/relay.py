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
    """Relay until told to stop, then flush and close."""
    producer = make_producer()
    failures = 0
    pause = SHORTEST_SECONDS
    try:
        while not stop.is_set():
            stop.beat()
            try:
                sent = relay_batch(pool, producer)
            except (KafkaError, psycopg.OperationalError) as error:
                failures += 1
                log.warning("relay.failed", error=f"{type(error).__name__}: {error}", failures=failures)
                if failures >= 2:
                    producer = _anew(producer, make_producer)
                    failures = 0
                stop.wait(AFTER_FAILURE_SECONDS)
                continue
            failures = 0
            pause = SHORTEST_SECONDS if sent else min(pause * 2, LONGEST_SECONDS)
            if not sent:
                stop.wait(pause)
    finally:
        producer.close(timeout=5)


def _anew(producer: Producer, make_producer: MakeProducer) -> Producer:
    """An idempotent producer whose broker has lost its state stays broken; a new one works at once."""
    producer.close(timeout=0)
    return make_producer()
