"""Latency of an event from the writer's commit to the reader's handler, compared with Kafka alone."""

import contextlib
import time
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.engines import Engines
from benchmarks.figures import Figure, latencies
from benchmarks.loops import TOPIC, WRITER, consuming, reading, relaying, started
from shared import db
from shared.db import Pool
from shared.events.payment import PaymentDeclined
from shared.messaging import kafka_clients, outbox
from shared.tx import transaction
from shared.vocabulary import RenewalId

GROUP: Final = "latency"
# Occasional: all loops poll at their longest interval. Steady: none does.
RATES: Final = {"now and then (3 a second)": 3, "steady (100 a second)": 100}


def measure(engines: Engines, *, seconds: float) -> list[Figure]:
    """Measure both ways at each rate, in the same run."""
    figures: list[Figure] = []
    producer = kafka_clients.make_producer(engines.kafka(WRITER), "benchmark")
    with contextlib.closing(producer), db.open_pool(engines.urls[WRITER], name="writer") as pool:

        def produce(name: str) -> None:
            producer.send(TOPIC.value, key=name.encode(), value=name.encode())

        for rate_name, rate in RATES.items():
            with started(reading, engines) as report:
                produced = _paced(produce, report, rate=rate, seconds=seconds, early=True)
            with started(consuming, engines) as report, started(relaying, engines):
                committed = _paced(lambda name: _commit(pool, name), report, rate=rate, seconds=seconds, early=False)
            figures += latencies(GROUP, f"{rate_name}: raw produce → consume", produced)
            figures += latencies(GROUP, f"{rate_name}: commit → handler", committed)
    return figures


def _commit(pool: Pool, name: str) -> None:
    with transaction(pool) as tx:
        key = RenewalId(uuid.uuid4())
        outbox.add(tx, PaymentDeclined(renewal_id=key, payment_id=tx.new_id(), reason=name))


def _paced(send: Callable[[str], None], report: Connection, *, rate: int, seconds: float, early: bool) -> list[float]:
    """Send at this rate. Returns each latency, counted from before (`early`) or after the call that sends."""
    sent: dict[str, float] = {}
    came: dict[str, float] = {}
    begun = time.monotonic()
    for number in range(int(rate * seconds)):
        _read_until(begun + number / rate, report, came)
        name = str(uuid.uuid4())
        before = time.monotonic()
        send(name)
        sent[name] = before if early else time.monotonic()
    until = time.monotonic() + 60
    while missing := sent.keys() - came.keys():
        if time.monotonic() > until:
            raise TimeoutError(f"{len(missing)} events did not come")
        _read_until(time.monotonic() + 0.1, report, came)
    return [max(0.0, came[name] - at) for name, at in sent.items()]


def _read_until(moment: float, report: Connection, came: dict[str, float]) -> None:
    """Read reports continuously: a full pipe would block its writer."""
    while report.poll(max(0.0, moment - time.monotonic())):
        name, at = report.recv()
        came[name] = at
