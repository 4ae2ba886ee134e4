"""Throughput in events a second of one relay to Kafka, and of one consumer."""

import time
from collections.abc import Callable
from typing import Final

from benchmarks.engines import Engines
from benchmarks.figures import Figure
from benchmarks.loops import READER, WRITER, consuming, relaying, started
from shared import db
from shared.db import Pool
from shared.events.payment import PaymentDeclined
from shared.messaging import codec

GROUP: Final = "throughput, one process each"
EVENTS_PER_KEY: Final = 10


def measure(engines: Engines, *, events: int) -> list[Figure]:
    """Fill the outbox, let the relay empty it, and let the consumer apply everything."""
    with db.open_pool(engines.urls[WRITER], name="writer") as pool:
        fill(pool, events)
        with started(relaying, engines):
            relayed = _seconds(lambda: count(pool, "SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0)
    with db.open_pool(engines.urls[READER], name="reader") as pool:
        before = count(pool, "SELECT COALESCE(sum(last_sequence), 0) FROM inbox")
        done = before + events
        with started(consuming, engines) as report:
            applied = _seconds(
                lambda: count(pool, "SELECT COALESCE(sum(last_sequence), 0) FROM inbox") == done,
                meanwhile=lambda: [report.recv() for _ in iter(lambda: report.poll(), False)],
            )
    return [
        Figure(group=GROUP, name="relay: outbox → Kafka, acknowledged and marked", value=events / relayed, unit="/s"),
        Figure(group=GROUP, name="consumer: Kafka → handler, committed", value=events / applied, unit="/s"),
    ]


def fill(pool: Pool, events: int) -> None:
    """Insert rows as the writer would, but faster: the measurement begins afterwards."""
    with pool.connection() as conn:
        conn.execute(
            """INSERT INTO outbox (event_id, topic, key, sequence, type, source, time, data, dataschema)
               SELECT gen_random_uuid(), %(topic)s, key, sequence, %(type)s, '/payment', now(),
                      convert_to(json_build_object('renewal_id', key, 'payment_id', gen_random_uuid(),
                                                   'reason', repeat('x', 400))::text, 'UTF8'), %(schema)s
               FROM (SELECT gen_random_uuid()::text AS key FROM generate_series(1, %(keys)s)) AS keys,
                    generate_series(1, %(each)s) AS sequence
               ORDER BY sequence, key""",
            {
                "topic": PaymentDeclined.TOPIC,
                "type": PaymentDeclined.TYPE,
                "schema": codec.schema_name(PaymentDeclined.TYPE),
                "keys": events // EVENTS_PER_KEY,
                "each": EVENTS_PER_KEY,
            },
        )


def _seconds(done: Callable[[], bool], *, meanwhile: Callable[[], object] = lambda: None) -> float:
    begun = time.monotonic()
    while not done():
        if time.monotonic() - begun > 300:
            raise TimeoutError("the events make no progress")
        meanwhile()
        time.sleep(0.02)
    return time.monotonic() - begun


def count(pool: Pool, query: str) -> int:
    """Return the one number of a query."""
    with pool.connection() as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
