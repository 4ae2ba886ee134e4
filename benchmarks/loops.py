"""Loops of relay and consumer in separate processes, as in production, configured by their arguments."""

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

import structlog

from benchmarks.engines import Engines
from shared import db
from shared.events.base import Topic
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import kafka_clients, relay
from shared.messaging.consumer import Consumer
from shared.messaging.subscriptions import on
from shared.runtime.service import applier
from shared.tx import Tx

WRITER: Final = "payment"
READER: Final = "application"
TOPIC: Final = Topic.PAYMENT
_SPAWN: Final = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def started(body: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Yield a connection with the reports of a function that runs in a process of its own, once it is ready."""
    here, there = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_quietly, args=(body, there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        if here.recv() != "ready":
            raise RuntimeError("the process did not report its readiness first")
        yield here
    finally:
        process.terminate()
        process.join(20)


def _quietly(body: Callable[..., None], *arguments: Any) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    body(*arguments)


def life() -> Lifecycle:
    """Return the lifecycle of this process, which ends on a signal."""
    stop = Lifecycle()
    stop.end_on_signals()
    stop.beat()
    return stop


def relaying(report: Connection, engines: Engines) -> None:
    """Run the writer's relay."""
    stop = life()
    with db.open_pool(engines.urls[WRITER], name="relay") as pool:
        report.send("ready")
        relay.run(pool, lambda: kafka_clients.make_producer(engines.kafka(WRITER), "benchmark"), stop)


def consuming(report: Connection, engines: Engines) -> None:
    """Run the reader's consumer, whose handler writes one row; reports each event's name and time."""

    def handle(tx: Tx, event: PaymentDeclined) -> None:
        _write(tx, event)
        report.send((event.reason, time.monotonic()))

    _consume(report, engines, handle)


def emptying(report: Connection, engines: Engines, wait_seconds: float) -> None:
    """Run the same consumer without reports; its handler also waits, as for a database over a network."""

    def handle(tx: Tx, event: PaymentDeclined) -> None:
        _write(tx, event)
        time.sleep(wait_seconds)

    _consume(report, engines, handle)


def _write(tx: Tx, event: PaymentDeclined) -> None:
    tx.conn.execute(
        "INSERT INTO audit_log (time, actor, action, subject, details) VALUES (%s, 'benchmark', %s, %s, '{}')",
        (tx.now, event.reason, str(event.renewal_id)),
    )


def _consume(report: Connection, engines: Engines, handle: Callable[[Tx, PaymentDeclined], None]) -> None:
    stop = life()
    with db.open_pool(engines.urls[READER], name="consume") as pool:
        client = kafka_clients.make_consumer(
            engines.kafka(READER), "benchmark", group=f"{READER}.events", topics=[TOPIC]
        )
        consumer = Consumer(client, pool, applier(READER, (on(PaymentDeclined, handle),)), stop)
        polled = first_poll(client)
        report.send("ready")
        consumer.turn(polled)
        consumer.run()


def reading(report: Connection, engines: Engines) -> None:
    """Run a plain Kafka consumer with the same settings; reports each record's value and time."""
    stop = life()
    client = kafka_clients.make_consumer(engines.kafka(READER), "benchmark", group=f"{READER}.raw", topics=[TOPIC])
    first_poll(client)  # records of earlier runs
    report.send("ready")
    while not stop.is_set():
        for records in client.poll(timeout_ms=250).values():
            for record in records:
                report.send((record.value.decode(), time.monotonic()))
    client.close(timeout_ms=1000)


def first_poll(client: Any) -> Any:
    """Return the records of the poll that assigned the partitions."""
    while True:
        polled = client.poll(timeout_ms=100)
        if client.assignment():
            return polled
