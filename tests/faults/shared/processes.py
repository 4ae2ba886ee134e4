"""The writer's and the reader's processes as a person starts them, and two that kill themselves half-way.

`python -m tests.faults.shared.processes {writer,reader} COMMAND …`
"""

import os
import signal
import sys
import uuid
from functools import partial
from typing import Any, Final

import flask

from shared import db
from shared.db import Pool
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging import kafka_clients, relay
from shared.messaging.consumer import Consumer
from shared.messaging.subscriptions import on
from shared.runtime.command_line import run
from shared.runtime.service import Command, Service, applier
from shared.settings import ServiceSettings, read_env, read_service, seal
from tests.faults.shared.kit import READER, TOPIC, note
from tests.support.engines import SERVICES

SUBSCRIPTIONS: Final = (on(PaymentDeclined, note),)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Acknowledged:
    """A future that tells when it has been waited for."""

    def __init__(self, future: Any, done: Any) -> None:
        self._future = future
        self._done = done

    @property
    def is_done(self) -> bool:
        return False

    def get(self, timeout: float) -> Any:
        value = self._future.get(timeout)
        self._done()
        return value


class DiesAfterAcknowledgements:
    """A producer whose process is killed when the last record of a batch has been acknowledged."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._open = 0

    def send(self, topic: str, **record: Any) -> Any:
        self._open += 1
        return _Acknowledged(self._producer.send(topic, **record), self._acknowledged)

    def _acknowledged(self) -> None:
        self._open -= 1
        if self._open == 0:
            _die()

    def close(self, timeout: float) -> None:
        self._producer.close(timeout)


class DiesAtOffsetCommit:
    """A Kafka consumer whose process is killed when it is about to commit offsets."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def commit(self, *args: Any, **kwargs: Any) -> None:
        _die()


def _read_settings(service: str) -> ServiceSettings:
    env = read_env()
    settings = read_service(env, service)
    seal(env)
    return settings


def _relay_and_die() -> None:
    settings = _read_settings("payment")
    pool = db.open_pool(settings.database_url, name="killed")
    relay.run(
        pool, lambda: DiesAfterAcknowledgements(kafka_clients.make_producer(settings.kafka, "killed")), Lifecycle()
    )


def _consume_and_die() -> None:
    settings = _read_settings(READER)
    pool = db.open_pool(settings.database_url, name="killed")
    client = kafka_clients.make_consumer(settings.kafka, "killed", group=os.environ["KILLED_GROUP"], topics=[TOPIC])
    Consumer(DiesAtOffsetCommit(client), pool, applier(READER, SUBSCRIPTIONS), Lifecycle()).run()


def _no_app(pool: Pool) -> flask.Flask:
    return flask.Flask(READER)


def _worked(pool: Pool) -> bool:
    """Work without end: each turn writes one row."""
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO audit_log (time, actor, action, subject, details) VALUES (now(), 'work', 'turn', %s, '{}')",
            (str(uuid.uuid4()),),
        )
    return True


SERVICES_UNDER_TEST: Final = {
    "writer": Service(
        name="payment",
        purpose="The writer.",
        read_settings=partial(_read_settings, "payment"),
        make_app=_no_app,
        subscriptions=tuple,
        tasks=lambda pool: [("turn", partial(_worked, pool))],
        migrations=SERVICES / "payment" / "migrations",
        commands={"relay-and-die": Command(help="killed before it marks", run=_relay_and_die)},
    ),
    "reader": Service(
        name=READER,
        purpose="The reader.",
        read_settings=partial(_read_settings, READER),
        make_app=_no_app,
        subscriptions=lambda: SUBSCRIPTIONS,
        tasks=lambda pool: [],
        migrations=SERVICES / READER / "migrations",
        commands={"consume-and-die": Command(help="killed before it commits offsets", run=_consume_and_die)},
    ),
}

if __name__ == "__main__":
    run(SERVICES_UNDER_TEST[sys.argv[1]], sys.argv[2:])
