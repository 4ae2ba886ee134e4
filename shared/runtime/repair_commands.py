"""Commands of every service: outbox recovery, offset reset, verification of the audit log, export, held events."""

import argparse
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from shared import audit
from shared.db import Pool
from shared.events.base import Topic
from shared.messaging import outbox_recovery
from shared.messaging.applier import Applier
from shared.messaging.subscriptions import Subscription, topics
from shared.runtime import audit_command, held_command
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.runtime.service import AnyCommand, CommandGroup, Service, applier
from shared.security import signed_extract
from shared.security.tokens import SigningKey
from shared.tx import transaction, utc_now


def commands(service: Service) -> dict[str, AnyCommand]:
    """Return the commands for the service's database; those about held events and offsets if it consumes events."""
    found: dict[str, AnyCommand] = {
        "recall": OperatorCommand(
            help="after a restore: re-insert the events that Kafka has and the outbox lacks",
            run=partial(_recall, service),
            while_recovering=True,
        ),
        "verify-audit": OperatorCommand(
            help="verify the seals over the audit log",
            add_arguments=audit_command.add_arguments,
            run=partial(_verify_audit, service),
            while_recovering=True,
        ),
        "export": OperatorCommand(
            help="write a signed extract of the database for reconciliation",
            add_arguments=_export_arguments,
            run=partial(_export, service),
            while_recovering=True,
        ),
    }
    if (subscriptions := service.subscriptions) is not None:
        found["held"] = CommandGroup(
            help="list or redrive held events; skip one with four-eyes approval",
            commands=held_command.commands(partial(_applier, service.name, subscriptions)),
        )
        found["rewind"] = OperatorCommand(
            help="after a restore: reset the consumer offsets to a time; stop the consumers first",
            add_arguments=_reset_arguments,
            run=partial(_reset_offsets, service, subscriptions),
        )
    return found


def _recall(service: Service, pool: Pool, options: argparse.Namespace) -> Report:
    """Report a failure if an event has the number of another one in Kafka, or if state could not be restored."""
    from shared.messaging import consumer, kafka_clients  # only commands that use Kafka import its client

    own = [topic.value for topic in Topic if topic.partition(".")[0] == service.name]
    batches = kafka_clients.read_all(service.read_settings().kafka, f"{service.name}-recall", own)
    records = ([*map(consumer.record_of, batch)] for batch in batches)
    found = outbox_recovery.reinsert(pool, records, actor=options.actor, then=service.after_recall)
    with pool.connection() as conn:
        forgotten = [str(each) for each in outbox_recovery.forgotten(conn, found.recovery_id)]
    lines = [
        f"known {found.known}, brought back {found.returned}, unreadable {found.unreadable}",
        *(f"forgotten: renewal {each}" for each in forgotten),
        *(f"conflict: {each}" for each in found.conflicts),
        *(f"not put back: {each}" for each in found.not_put_back),
    ]
    values = {
        "known": found.known,
        "brought_back": found.returned,
        "unreadable": found.unreadable,
        "forgotten": forgotten,
        "conflicts": [str(each) for each in found.conflicts],
        "not_put_back": [*found.not_put_back],
    }
    return Report(values=values, text="\n".join(lines), failed=bool(found.conflicts or found.not_put_back))


def _reset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, type=_moment, help="time in ISO 8601 with a time zone: 2026-11-25T08:00:00Z"
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its time zone")
    return moment


def _reset_offsets(
    service: Service, subscriptions: Callable[[], Sequence[Subscription]], pool: Pool, options: argparse.Namespace
) -> Report:
    from shared.messaging import kafka_clients  # only commands that use Kafka import its client

    kafka = service.read_settings().kafka
    with (
        kafka_clients.as_refusals(),
        contextlib.closing(kafka_clients.make_admin(kafka, f"{service.name}-rewind")) as admin,
    ):
        moved = kafka_clients.reset_offsets(admin, group=service.name, topics=topics(subscriptions()), to=options.to)
    details: dict[str, audit.Detail] = {"to": options.to.isoformat(), "partitions": moved}
    with transaction(pool) as tx:
        audit.record(tx, actor=options.actor, action="consumer-rewound", subject=service.name, details=details)
    return Report(values={"partitions": moved}, text=f"{moved} partitions are read again")


def _verify_audit(service: Service, pool: Pool, options: argparse.Namespace) -> Report:
    key = SigningKey.load(service.read_settings().audit_key_file)
    return audit_command.run(pool, service.name, key, options)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="file to write; it appears once it is complete")


def _export(service: Service, pool: Pool, options: argparse.Namespace) -> Report:
    source = signed_extract.Source(
        service=service.name,
        reads=() if service.subscriptions is None else [topic.value for topic in topics(service.subscriptions())],
        tables=service.extracts,
        key=SigningKey.load(service.read_settings().audit_key_file),
    )
    state = signed_extract.write_file(pool, source, options.output, now=utc_now())
    return Report(values={"service": service.name, "state": str(state)}, text=f"{service.name} {state}")


def _applier(name: str, subscriptions: Callable[[], Sequence[Subscription]]) -> Applier:
    return applier(name, subscriptions())
