"""Composition root of mailing: builds all dependencies and runs one process or one operator's command."""

import argparse
import getpass
import json
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.mailing import bounces, envelope_store, extracts, handlers, manifest, posting, store, work
from services.mailing.domain import HONG_KONG
from services.mailing.handlers import Post
from services.mailing.mailer import SMTPMailer
from services.mailing.messages import Composer
from services.mailing.settings import read_service_settings, read_settings
from shared.db import Pool
from shared.errors import Refused
from shared.messaging.subscriptions import Subscription
from shared.observability import logs
from shared.runtime import service
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.service import Command, Service
from shared.runtime.task_loop import Task, require_lease
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet
from shared.tx import Tx, transaction
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app: health and metrics only, since the desk uses the operator API."""
    from shared.web.request import create_app  # only the web process imports Flask

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
            identity=KeySet.load(settings.service.identity_jwks_file), payment=KeySet.load(settings.payment_jwks_file)
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


def run_print(_: argparse.Namespace) -> None:
    """Run the print process."""
    from services.mailing import print_main  # only this process imports what opens and typesets letters

    print_main.run(SERVICE.files())


def run_posted(options: argparse.Namespace) -> None:
    """Record the registered numbers of a batch."""
    content: bytes = options.manifest.read_bytes()

    def record(tx: Tx) -> object:
        numbers = manifest.read(content)
        return asdict(posting.record_posted(tx, options.batch, numbers, _day(tx, options), actor=options.actor))

    _carry_out("posted", record)


def run_returned(options: argparse.Namespace) -> None:
    """Record a returned envelope."""

    def record(tx: Tx) -> object:
        fresh = posting.record_returned(tx, options.envelope, options.reason, _day(tx, options), actor=options.actor)
        return {"recorded": int(fresh), "known": int(not fresh)}

    _carry_out("returned", record)


def run_withdrawn(options: argparse.Namespace) -> None:
    """Record a printed letter that will not be posted."""

    def record(tx: Tx) -> object:
        posting.record_withdrawn(tx, options.envelope, options.reason, actor=options.actor)
        return {"withdrawn": str(options.envelope)}

    _carry_out("withdrawn", record)


def run_bounced(options: argparse.Namespace) -> None:
    """Record a bounced e-mail."""
    report: bytes = sys.stdin.buffer.read() if options.report == Path("-") else options.report.read_bytes()

    def record(tx: Tx) -> object:
        fresh = posting.record_bounced(tx, bounces.read(report), actor=options.actor)
        return {"recorded": int(fresh), "known": int(not fresh)}

    _carry_out("bounced", record)


def run_resend(options: argparse.Namespace) -> None:
    """Send a bounced or unconfirmed e-mail again."""

    def record(tx: Tx) -> object:
        posting.resend(tx, options.mail, actor=options.actor)
        return {"queued": str(options.mail)}

    _carry_out("resend", record)


def run_waiting(options: argparse.Namespace) -> None:
    """List what needs an operator, with its ids."""

    def look(tx: Tx) -> object:
        since = tx.now - timedelta(days=options.days)
        return [
            {k: str(v) for k, v in asdict(w).items() if v is not None}
            for w in envelope_store.find_waiting(tx.conn, since)
        ]

    _carry_out("waiting", look)


def _carry_out(name: str, change: Callable[[Tx], object]) -> None:
    """Run a change in one transaction. Prints its summary as JSON; a refusal is one line."""
    settings = read_service_settings()
    logs.configure("mailing", name, settings.log_level)
    pool = service.open_current_pool(SERVICE, settings, name, max_size=1)
    try:
        with transaction(pool) as tx:
            summary = change(tx)
        print(json.dumps(summary))
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused
    finally:
        pool.close()


def _day(tx: Tx, options: argparse.Namespace) -> date:
    today = tx.now.astimezone(HONG_KONG).date()
    day: date = options.on or today
    if day > today:
        raise SystemExit(f"{day} has not come yet")
    return day


def _actor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor", default=getpass.getuser(), help="name for the audit log")


def _add_posted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("batch", help="name of the batch, such as batch-000001")
    parser.add_argument(
        "--manifest", type=Path, required=True, help="manifest of the batch with its registered numbers"
    )
    parser.add_argument("--on", type=date.fromisoformat, help="date of posting (default: today)")
    _actor(parser)


def _add_returned(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("envelope", type=uuid.UUID, help="id of the PIN Envelope")
    parser.add_argument("--reason", required=True, help="reason written on it by the post")
    parser.add_argument("--on", type=date.fromisoformat, help="date of its return (default: today)")
    _actor(parser)


def _add_withdrawn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("envelope", type=uuid.UUID, help="id of the PIN Envelope")
    parser.add_argument("--reason", required=True, help="reason, such as a paper jam")
    _actor(parser)


def _add_bounced(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, help="file with the delivery status notification; - reads standard input")
    _actor(parser)


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
    _actor(parser)


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
    readings=(Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),),
    commands={
        "print": Command(help="print sealed PIN Envelopes into posting batches", run=run_print),
        "posted": Command(
            help="record the registered numbers of a posted batch", run=run_posted, add_arguments=_add_posted
        ),
        "returned": Command(help="record a returned PIN Envelope", run=run_returned, add_arguments=_add_returned),
        "withdrawn": Command(
            help="record a printed letter that will not be posted", run=run_withdrawn, add_arguments=_add_withdrawn
        ),
        "bounced": Command(help="record a bounced e-mail", run=run_bounced, add_arguments=_add_bounced),
        "resend": Command(help="send a bounced or unconfirmed e-mail again", run=run_resend, add_arguments=_add_resend),
        "waiting": Command(
            help="list bounced e-mails, letters not posted and faulty envelopes",
            run=run_waiting,
            add_arguments=_add_waiting,
        ),
    },
)

if __name__ == "__main__":
    service.run(SERVICE)
