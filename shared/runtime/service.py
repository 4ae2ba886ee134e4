"""Command line of every service: `web`, `consume`, `relay`, `work`, `migrate`, `held`, and its own commands."""

import argparse
import contextlib
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from prometheus_client import Gauge

from shared import audit, db, lifecycle
from shared.db import Pool
from shared.events.base import Topic
from shared.messaging import outbox_recovery
from shared.messaging.applier import Applier
from shared.messaging.feed import Feed
from shared.messaging.subscriptions import Subscription, by_type, topics
from shared.observability import logs, tracing
from shared.operators import cli
from shared.runtime import audit_command, database_gauges, migrate, pruning, task_loop
from shared.runtime.database_gauges import Reading
from shared.runtime.migrate import Migration
from shared.runtime.pruning import Rule
from shared.runtime.task_loop import Task
from shared.security import audit_seals, signed_extract
from shared.security.tokens import KeySet, SigningKey
from shared.settings import ServiceSettings, read_desk_jwks_file
from shared.tx import transaction, utc_now
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations

CODE_VERSION: Final = "0.1.0"
STARTED = Gauge("process_started", "1 once the process has started", ["service", "process"])

AddArguments = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True, kw_only=True)
class Command:
    """An operators' command."""

    help: str
    run: Callable[[argparse.Namespace], None]
    add_arguments: AddArguments = lambda parser: None


@dataclass(frozen=True, kw_only=True)
class Service:
    """Descriptor of a service; each function builds dependencies, in the process that needs them.

    Without `subscriptions` it consumes no events, and has neither `consume` nor `held`; nor `operate`, unless it has
    operations of its own.
    """

    name: str
    purpose: str
    read_settings: Callable[[], ServiceSettings]
    make_app: "Callable[[Pool], flask.Flask]"
    tasks: Callable[[Pool], Sequence[tuple[str, Task]]]
    migrations: Path
    subscriptions: Callable[[], Sequence[Subscription]] | None = None
    readings: Sequence[Reading] = ()
    # Pruning rules beside those of every database.
    pruning: Sequence[Rule] = ()
    # Used by the relay only, if the service's topic is a feed.
    feed: Callable[[], Feed] | None = None
    # The service's own part of its operator API; used by `operate` only.
    operations: "Callable[[], Operations] | None" = None
    # The end of an outbox recovery: put back the state that the events are about, and return what could not be.
    after_recall: Callable[[Pool, int, str], Sequence[str]] | None = None
    commands: Mapping[str, Command] = field(default_factory=dict)
    # The service's own part of its extract, beside that of every service.
    extracts: Sequence[signed_extract.Table] = ()

    def files(self) -> list[Migration]:
        """Return all migrations of the service's database."""
        return migrate.load(self.name, self.migrations)


def run(service: Service, arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one process."""
    options = _parser(service).parse_args(arguments)
    options.run(options)


def _parser(service: Service) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"services.{service.name}.main", description=service.purpose)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    built_in: dict[str, Command] = {
        "web": Command(help="serve HTTP requests", run=lambda _: _web(service)),
        "relay": Command(help="publish outbox events to Kafka", run=lambda _: _relay(service)),
        "work": Command(help="run background tasks", run=lambda _: _work(service)),
        "migrate": Command(help="apply database migrations", run=lambda _: _migrate(service)),
        "recall": Command(
            help="after a restore: re-insert the events that Kafka has and the outbox lacks",
            add_arguments=_recall_arguments,
            run=lambda options: _recall(service, options.actor),
        ),
        "verify-audit": Command(
            help="verify the seals over the audit log",
            add_arguments=audit_command.add_arguments,
            run=lambda options: _verify_audit(service, options),
        ),
        "export": Command(
            help="write a signed extract of the database for reconciliation",
            add_arguments=_export_arguments,
            run=lambda options: _export(service, options.output),
        ),
    }
    if service.subscriptions is not None:
        built_in |= _consuming(service, service.subscriptions)
    if service.subscriptions is not None or service.operations is not None:
        built_in["operate"] = Command(help="serve the operator API for the CA's desk", run=lambda _: _operate(service))
    for name, command in {**built_in, **service.commands}.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _consuming(service: Service, subscriptions: Callable[[], Sequence[Subscription]]) -> dict[str, Command]:
    return {
        "consume": Command(help="apply other services' events", run=lambda _: _consume(service, subscriptions())),
        "held": Command(
            help="list or redrive held events; skip one with four-eyes approval",
            add_arguments=cli.add_arguments,
            run=lambda options: _held(service, subscriptions(), options),
        ),
        "rewind": Command(
            help="after a restore: reset the consumer offsets to a time; stop the consumers first",
            add_arguments=_rewind_arguments,
            run=lambda options: _rewind(service, subscriptions(), options),
        ),
    }


def _begin(service: Service, name: str) -> ServiceSettings:
    settings = service.read_settings()
    logs.configure(service.name, name, settings.log_level)
    return settings


def open_current_pool(
    service: Service, settings: ServiceSettings, name: str, *, max_size: int = 4, while_recovering: bool = False
) -> Pool:
    """Open a pool on a database that this code can use; waits for it to come up.

    Raises RecoveryUnfinished while an outbox recovery is open, unless the caller writes no events.
    """
    pool = db.open_pool(settings.database_url, name=f"{service.name}-{name}", max_size=max_size)
    migrate.wait_until_current(pool, service.files())
    if not while_recovering:
        outbox_recovery.require_ended(pool)
    return pool


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

    pools: list[Pool] = []

    from shared.web import gunicorn_server  # only processes that serve HTTP import Flask and gunicorn

    def make_app() -> "flask.Flask":
        tracing.configure(service.name, name)
        pools.append(open_current_pool(service, settings, name, max_size=settings.web.threads + 2))
        return make(pools[0])

    def on_exit() -> None:
        for pool in pools:
            pool.close()

    with logs.told(settings):
        gunicorn_server.serve(
            make_app,
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
    with logs.told(settings):
        lifecycle.serve_admin(settings.admin, life)
        pool = open_current_pool(service, settings, name)
        try:
            STARTED.labels(service.name, name).set(1)
            body(settings, pool, life)
        finally:
            pool.close()


def _consume(service: Service, subscriptions: Sequence[Subscription]) -> None:
    def body(settings: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        # Only processes that use Kafka import its client.
        from shared.messaging import consumer, group_lag, kafka_clients

        client, names = f"{service.name}-consume", [topic.value for topic in topics(subscriptions)]
        kafka = kafka_clients.make_consumer(settings.kafka, client, group=service.name, topics=names, stop=life)
        group_lag.start(
            lambda: kafka_clients.make_admin(settings.kafka, f"{service.name}-unread"), service.name, names, life
        )
        consumer.Consumer(kafka, pool, applier(service.name, subscriptions), life).run()

    _loop(service, "consume", body)


def applier(name: str, subscriptions: Sequence[Subscription], **given: Any) -> Applier:
    """Return the applier of a service's consumer; tests pass a clock."""
    defaults: dict[str, Any] = {"clock": utc_now, "new_id": uuid.uuid4, "code_version": CODE_VERSION}
    return Applier(consumer=name, handlers=by_type(subscriptions), **{**defaults, **given})


def _relay(service: Service) -> None:
    def body(settings: ServiceSettings, pool: Pool, life: lifecycle.Lifecycle) -> None:
        from shared.messaging import feed_lag, kafka_clients, relay  # as above

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


def _recall_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor", required=True, help="name for the audit log")


def _recall(service: Service, actor: str) -> None:
    """Exit status 1 if an event has the number of another one in Kafka, or if state could not be restored."""
    from shared.messaging import consumer, kafka_clients  # as above

    settings = _begin(service, "recall")
    topics = [topic.value for topic in Topic if topic.partition(".")[0] == service.name]
    pool = open_current_pool(service, settings, "recall", max_size=1, while_recovering=True)
    try:
        batches = kafka_clients.read_all(settings.kafka, f"{service.name}-recall", topics)
        records = ([*map(consumer.record_of, batch)] for batch in batches)
        found = outbox_recovery.reinsert(pool, records, actor=actor, then=service.after_recall)
        print(f"known {found.known}, brought back {found.returned}, unreadable {found.unreadable}")
        with pool.connection() as conn:
            for renewal in outbox_recovery.forgotten(conn, found.recovery_id):
                print(f"forgotten: renewal {renewal}")
    finally:
        pool.close()
    wrong = [
        *(f"conflict: {each}" for each in found.conflicts),
        *(f"not put back: {each}" for each in found.not_put_back),
    ]
    if wrong:
        sys.exit("\n".join(wrong))


def _rewind_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, type=_moment, help="time in ISO 8601 with a time zone: 2026-11-25T08:00:00Z"
    )
    parser.add_argument("--actor", required=True, help="name for the audit log")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its time zone")
    return moment


def _rewind(service: Service, subscriptions: Sequence[Subscription], options: argparse.Namespace) -> None:
    from shared.messaging import kafka_clients  # as above

    settings = _begin(service, "rewind")
    pool = open_current_pool(service, settings, "rewind", max_size=1)
    try:
        with contextlib.closing(kafka_clients.make_admin(settings.kafka, f"{service.name}-rewind")) as admin:
            moved = kafka_clients.rewind(admin, group=service.name, topics=topics(subscriptions), to=options.to)
        details: dict[str, audit.Detail] = {"to": options.to.isoformat(), "partitions": moved}
        with transaction(pool) as tx:
            audit.record(tx, actor=options.actor, action="consumer-rewound", subject=service.name, details=details)
    finally:
        pool.close()
    print(f"{moved} partitions are read again")


def _verify_audit(service: Service, options: argparse.Namespace) -> None:
    settings = _begin(service, "verify-audit")
    pool = open_current_pool(service, settings, "verify-audit", max_size=1, while_recovering=True)
    try:
        audit_command.run(pool, service.name, SigningKey.load(settings.audit_key_file), options)
    finally:
        pool.close()


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="file to write; it appears once it is complete")


def _export(service: Service, output: Path) -> None:
    settings = _begin(service, "export")
    source = signed_extract.Source(
        service=service.name,
        reads=() if service.subscriptions is None else [topic.value for topic in topics(service.subscriptions())],
        tables=service.extracts,
        key=SigningKey.load(settings.audit_key_file),
    )
    with open_current_pool(service, settings, "export", max_size=1, while_recovering=True) as pool:
        state = signed_extract.write_file(pool, source, output, now=utc_now())
    print(f"{service.name} {state}")


def _migrate(service: Service) -> None:
    settings = service.read_settings()
    if settings.migrate_database_url is None:
        sys.exit(f"{service.name.upper()}_MIGRATE_DATABASE_URL is not set")
    role = psycopg.conninfo.conninfo_to_dict(settings.database_url)["user"]
    applied = migrate.migrate(settings.migrate_database_url, service.files(), runtime_role=str(role))
    for name in applied:
        print(f"applied {name}")


def _held(service: Service, subscriptions: Sequence[Subscription], options: argparse.Namespace) -> None:
    settings = _begin(service, "held")
    pool = open_current_pool(service, settings, "held", max_size=1)
    try:
        cli.run(pool, applier(service.name, subscriptions), options)
    finally:
        pool.close()
