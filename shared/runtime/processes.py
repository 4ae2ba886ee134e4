"""Processes of a service: web, operate, consume, relay, work and migrate.

Flask, gunicorn and the Kafka client are imported in the functions that use them: each process loads its own only.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol

import psycopg
from prometheus_client import Gauge

from shared import db, lifecycle
from shared.db import Pool
from shared.messaging.subscriptions import Subscription, topics
from shared.observability import logs, tracing
from shared.runtime import database_gauges, migrate, pruning, task_loop
from shared.runtime.service import AnyCommand, Command, Service, applier, open_current_pool
from shared.runtime.task_loop import Task
from shared.security import audit_seals
from shared.security.tokens import KeySet, SigningKey
from shared.settings import Address, ServiceSettings, WebSettings, read_desk_jwks_file
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

STARTED: Final = Gauge("process_started", "1 once the process has started", ["service", "process"])


def commands(service: Service) -> dict[str, AnyCommand]:
    """Return the commands that run the processes of a service."""
    found: dict[str, AnyCommand] = {
        "web": Command(help="serve HTTP requests", run=partial(_web, service)),
        "relay": Command(help="publish outbox events to Kafka", run=partial(_relay, service)),
        "work": Command(help="run background tasks", run=partial(_work, service)),
        "migrate": Command(help="apply database migrations", run=partial(_migrate, service)),
    }
    if service.subscriptions is not None:
        consume = partial(_consume, service, service.subscriptions)
        found["consume"] = Command(help="apply other services' events", run=consume)
    if service.subscriptions is not None or service.operations is not None:
        found["operate"] = Command(help="serve the operator API for the CA's desk", run=partial(_operate, service))
    return found


def _begin(service: Service, name: str) -> ServiceSettings:
    settings = service.read_settings()
    logs.configure(service.name, name, settings.log_level)
    return settings


def _web(service: Service) -> None:
    _serve(service, "web", service.make_app)


def _operate(service: Service) -> None:
    from shared.web import client_certificate  # only processes that serve HTTP read certificates

    client_certificate.require_gateway_only(service.read_settings().web)
    desk_jwks_file = read_desk_jwks_file()

    def make_app(pool: Pool) -> "flask.Flask":
        from shared.operators import operator_api

        settings = service.read_settings()
        subscriptions = None if service.subscriptions is None else service.subscriptions()
        operations = None if service.operations is None else service.operations()
        return operator_api.create_app(
            service.name,
            pool=pool,
            desk_keys=KeySet.load(desk_jwks_file),
            fingerprints=FingerprintKey.load(settings.fingerprint_key_file),
            applier=None if subscriptions is None else applier(service.name, subscriptions),
            operations=operations,
        )

    _serve(service, "operate", make_app)


def _serve(service: Service, name: str, make: "Callable[[Pool], flask.Flask]") -> None:
    settings = _begin(service, name)
    serve_http(
        service.name,
        name,
        settings,
        open_pool=lambda: open_current_pool(service, settings, name, max_size=settings.web.threads + 2),
        make_app=make,
    )


class HTTPSettings(Protocol):
    """Settings of a process that serves HTTP."""

    @property
    def web(self) -> WebSettings: ...

    @property
    def admin(self) -> Address: ...


def serve_http(
    service: str,
    process: str,
    settings: HTTPSettings,
    *,
    open_pool: Callable[[], Pool],
    make_app: "Callable[[Pool], flask.Flask]",
) -> None:
    """Serve an app until SIGTERM. The pool and the app are made in gunicorn's worker, after the fork."""
    pools: list[Pool] = []

    from shared.web import gunicorn_server  # only processes that serve HTTP import Flask and gunicorn

    def make() -> "flask.Flask":
        tracing.configure(service, process)
        pools.append(open_pool())
        return make_app(pools[0])

    def on_exit() -> None:
        for pool in pools:
            pool.close()

    with logs.start_and_end(settings):
        gunicorn_server.serve(
            make,
            settings.web,
            admin=settings.admin,
            is_ready=lambda: bool(pools) and db.answers(pools[0]),
            on_exit=on_exit,
        )


def _loop(service: Service, name: str, body: Callable[[ServiceSettings, Pool, lifecycle.Lifecycle], None]) -> None:
    settings = _begin(service, name)
    tracing.configure(service.name, name)
    life = lifecycle.Lifecycle()
    life.end_on_signals()
    with logs.start_and_end(settings):
        lifecycle.serve_admin(settings.admin, life)
        pool = open_current_pool(service, settings, name)
        try:
            STARTED.labels(service.name, name).set(1)
            body(settings, pool, life)
        finally:
            pool.close()


def run_task_process(
    service: Service, name: str, make: Callable[[Pool], Sequence[tuple[str, Task]]], *, threads: int
) -> None:
    """Run these tasks until SIGTERM, in a process beside `work`: for what needs other keys, or waits for strangers.

    Each thread takes rows of its own, so that one that waits holds up no other.
    """

    def body(_: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        tasks = make(pool)
        more = [Thread(target=task_loop.run_tasks, args=(tasks, life), daemon=True) for _ in range(threads - 1)]
        for thread in more:
            thread.start()
        task_loop.run_tasks(tasks, life)
        for thread in more:
            thread.join()

    _loop(service, name, body)


def _consume(service: Service, subscriptions: Callable[[], Sequence[Subscription]]) -> None:
    def body(settings: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        from shared.messaging import consumer, group_lag, kafka_clients

        made, client = subscriptions(), f"{service.name}-consume"
        names = [topic.value for topic in topics(made)]
        kafka = kafka_clients.make_consumer(settings.kafka, client, group=service.name, topics=names, stop=life)
        group_lag.start(
            lambda: kafka_clients.make_admin(settings.kafka, f"{service.name}-unread"), service.name, names, life
        )
        consumer.Consumer(kafka, pool, applier(service.name, made), life).run()

    _loop(service, "consume", body)


def _relay(service: Service) -> None:
    def body(settings: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        from shared.messaging import feed_lag, kafka_clients, relay

        feed = None if service.feed is None else service.feed()
        if feed is not None:
            feed_lag.start(lambda: kafka_clients.make_admin(settings.kafka, f"{service.name}-lag"), feed.topic, life)
        relay.run(pool, lambda: kafka_clients.make_producer(settings.kafka, f"{service.name}-relay"), life, feed=feed)

    _loop(service, "relay", body)


def _work(service: Service) -> None:
    def body(settings: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        own = (
            ("seal-audit", _sealer(service, settings, pool)),
            ("read-gauges", database_gauges.reader(pool, [*database_gauges.OF_EVERY_SERVICE, *service.readings])),
            ("prune", pruning.pruner(pool, [*pruning.OF_EVERY_DATABASE, *service.pruning])),
        )
        # Gauges first: a service's own tasks may hang in a call to the outside.
        task_loop.run_tasks([*own, *service.tasks(pool)], life)

    _loop(service, "work", body)


def _sealer(service: Service, settings: ServiceSettings, pool: Pool) -> Task:
    key = SigningKey.load(settings.audit_key_file)
    return lambda: audit_seals.seal_next(pool, key, service=service.name)


def _migrate(service: Service) -> None:
    settings = service.read_settings()
    if settings.migrate_database_url is None:
        sys.exit(f"{service.name.upper()}_MIGRATE_DATABASE_URL is not set")
    role = psycopg.conninfo.conninfo_to_dict(settings.database_url)["user"]
    applied = migrate.migrate(settings.migrate_database_url, service.files(), runtime_role=str(role))
    for name in applied:
        print(f"applied {name}")
