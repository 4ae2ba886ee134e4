"""Composition root of mailing: builds all dependencies and runs one process or one operator's command."""

import argparse
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.mailing import bounces, envelope_store, extracts, handlers, manifest, posting, store, work
from services.mailing.mail_queue import Post
from services.mailing.mailer import SMTPMailer
from services.mailing.messages import Composer
from services.mailing.refusals import PostingRefused
from services.mailing.settings import read_service_settings, read_settings
from shared.db import Pool
from shared.messaging.subscriptions import Subscription
from shared.runtime.command_line import run
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import Command, Service
from shared.runtime.task_loop import Task, require_lease
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet
from shared.tx import Tx, transaction
from shared.vocabulary import HONG_KONG
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app: health and metrics only, since the desk uses the operator API."""
    from shared.web.app import create_app  # only the web process imports Flask

    settings = read_service_settings()
    return create_app(
        "mailing",
        blueprints=[],
        problem_table={},
        pool=pool,
        keys=KeySet.load(settings.identity_jwks_file),
        fingerprints=FingerprintKey.load(settings.fingerprint_key_file),
        deps=None,
    )


def make_subscriptions() -> tuple[Subscription, ...]:
    """Return the subscriptions with the real keys."""
    settings = read_settings()
    return handlers.subscriptions(
        keys=ProofKeys(
            identity=KeySet.load(settings.service.identity_jwks_file),
            application=KeySet.load(settings.application_jwks_file),
            payment=KeySet.load(settings.payment_jwks_file),
        ),
        post=Post(domain=settings.sender.domain, portal=settings.portal),
    )


def operations() -> "Operations":
    """Return mailing's own part of the operator API."""
    from services.mailing import operator_api  # as above

    return operator_api.OPERATIONS


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    settings = read_settings()
    require_lease("send", settings.lease, calls=settings.longest_conversation)
    mailer = SMTPMailer(settings.mail_server, settings.sender.addr_spec, settings.smtp_timeout)
    composer = Composer(settings.sender, settings.help)
    return [("send", partial(work.send_next, pool, mailer, composer, lease=settings.lease))]


def run_print() -> None:
    """Run the print process."""
    from services.mailing import print_main  # only this process imports what opens and typesets letters

    print_main.run(SERVICE.files())


def _posted(pool: Pool, options: argparse.Namespace) -> Report:
    """Record a posted batch; the manifest is read before the transaction begins, as it may be standard input."""
    numbers = manifest.read(options.manifest.read_bytes())
    with transaction(pool) as tx:
        found = posting.record_posted(tx, options.batch, numbers, _day(tx, options), actor=options.actor)
    return Report(values=asdict(found))


def _returned(tx: Tx, options: argparse.Namespace) -> Report:
    fresh = posting.record_returned(tx, options.envelope, options.reason, _day(tx, options), actor=options.actor)
    return Report(values={"recorded": int(fresh), "known": int(not fresh)})


def _withdrawn(tx: Tx, options: argparse.Namespace) -> Report:
    posting.record_withdrawn(tx, options.envelope, options.reason, actor=options.actor)
    return Report(values={"withdrawn": str(options.envelope)})


def _bounced(pool: Pool, options: argparse.Namespace) -> Report:
    """Record a bounced e-mail; the report is read before the transaction begins, as a person may type it."""
    report: bytes = sys.stdin.buffer.read() if options.report == Path("-") else options.report.read_bytes()
    with transaction(pool) as tx:
        fresh = posting.record_bounced(tx, bounces.read(report), actor=options.actor)
    return Report(values={"recorded": int(fresh), "known": int(not fresh)})


def _resend(tx: Tx, options: argparse.Namespace) -> Report:
    posting.resend(tx, options.mail, actor=options.actor)
    return Report(values={"queued": str(options.mail)})


def _waiting(tx: Tx, options: argparse.Namespace) -> Report:
    waiting = envelope_store.find_waiting(tx.conn, tx.now - timedelta(days=options.days))
    return Report(
        values=[{name: str(value) for name, value in asdict(each).items() if value is not None} for each in waiting]
    )


def _day(tx: Tx, options: argparse.Namespace) -> date:
    today = tx.now.astimezone(HONG_KONG).date()
    day: date = options.on or today
    if day > today:
        raise PostingRefused(f"{day} has not come yet")
    return day


def _add_posted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("batch", help="name of the batch, such as batch-000001")
    parser.add_argument(
        "--manifest", type=Path, required=True, help="manifest of the batch with its registered numbers"
    )
    parser.add_argument("--on", type=date.fromisoformat, help="date of posting (default: today)")


def _add_returned(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("envelope", type=uuid.UUID, help="id of the PIN Envelope")
    parser.add_argument("--reason", required=True, help="reason written on it by the post")
    parser.add_argument("--on", type=date.fromisoformat, help="date of its return (default: today)")


def _add_withdrawn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("envelope", type=uuid.UUID, help="id of the PIN Envelope")
    parser.add_argument("--reason", required=True, help="reason, such as a paper jam")


def _add_bounced(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, help="file with the delivery status notification; - reads standard input")


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days",
        type=int,
        choices=range(1, 3651),
        metavar="DAYS",
        default=30,
        help="number of days to look back (default: 30)",
    )


def _add_resend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mail", type=uuid.UUID, help="id of the e-mail")


SERVICE: Final = Service(
    name="mailing",
    purpose="E-mails to the Authorised Representative, and PIN Envelopes by registered post.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=make_subscriptions,
    tasks=tasks,
    migrations=MIGRATIONS,
    extracts=extracts.TABLES,
    operations=operations,
    pruning=(store.BODIES,),
    readings=(
        Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),
        Reading(gauge=work.FAULTY, query=envelope_store.FAULTY),
    ),
    commands={
        "print": Command(help="print sealed PIN Envelopes into posting batches", run=run_print),
        "posted": OperatorCommand(
            help="record the registered numbers of a posted batch",
            run=_posted,
            add_arguments=_add_posted,
        ),
        "returned": OperatorCommand(
            help="record a returned PIN Envelope", run=in_transaction(_returned), add_arguments=_add_returned
        ),
        "withdrawn": OperatorCommand(
            help="record a printed letter that will not be posted",
            run=in_transaction(_withdrawn),
            add_arguments=_add_withdrawn,
        ),
        "bounced": OperatorCommand(help="record a bounced e-mail", run=_bounced, add_arguments=_add_bounced),
        "resend": OperatorCommand(
            help="send a bounced or unconfirmed e-mail again", run=in_transaction(_resend), add_arguments=_add_resend
        ),
        "waiting": OperatorCommand(
            help="list bounced e-mails, letters not posted and faulty envelopes",
            run=in_transaction(_waiting),
            add_arguments=_add_waiting,
        ),
    },
)

if __name__ == "__main__":
    run(SERVICE)
