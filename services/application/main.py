"""Composition root of application: builds all dependencies and runs one process or command."""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.application import (
    csr_requests,
    extracts,
    handlers,
    importing,
    price_lists,
    rebuilding,
    reminders,
    slack,
    slack_store,
    store,
    work,
)
from services.application.eligibility import Limits
from services.application.reminders import Schedules
from services.application.settings import read_service_settings, read_settings
from shared.db import Pool
from shared.runtime.command_line import run
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import Service
from shared.runtime.task_loop import Task
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Clock, Tx, utc_now
from shared.vocabulary import RenewalId
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from services.application import api


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app, configured by the environment."""
    # Only the web process imports Flask.
    from services.application import api

    settings = read_settings()
    return build_app(
        pool,
        KeySet.load(settings.service.identity_jwks_file),
        FingerprintKey.load(settings.service.fingerprint_key_file),
        api.Deps(
            key=SigningKey.load(settings.signing_key_file),
            jwks=json.loads(settings.jwks_file.read_text("utf-8")),
            limits=Limits(evidence_margin=settings.evidence_margin, opens_days=settings.opens_days),
            lead=settings.lead,
        ),
    )


def build_app(
    pool: Pool, keys: KeySet, fingerprints: FingerprintKey, deps: "api.Deps", *, clock: Clock = utc_now
) -> "flask.Flask":
    """Return the WSGI app; `keys` are identity's."""
    from services.application import api  # as above
    from shared.web.app import create_app

    return create_app(
        "application",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=keys,
        fingerprints=fingerprints,
        deps=deps,
        clock=clock,
    )


_PROGRESS_SECONDS: Final = 5.0


def _shown_progress() -> importing.Report:
    """Return a report that writes to standard error every few seconds."""
    shown = time.monotonic()

    def report(progress: importing.Progress) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{progress.step} {progress.rows} rows", file=sys.stderr, flush=True)

    return report


def _import(pool: Pool, options: argparse.Namespace) -> Report:
    count = importing.import_file(pool, options.file, options.actor, report=_shown_progress())
    return Report(values={"imported": count}, text=f"imported {count} subscriptions")


def _load_prices(tx: Tx, options: argparse.Namespace) -> Report:
    loaded = price_lists.load(tx, price_lists.read_file(options.file), options.actor, only_check=options.check)
    text = "loaded" if loaded else "the list is right, and nothing was loaded"
    return Report(values={"loaded": int(loaded)}, text=text)


def _release(tx: Tx, options: argparse.Namespace) -> Report:
    csr_requests.release(tx, RenewalId(options.renewal_id), options.actor)
    return Report(values={"released": str(options.renewal_id)}, text=f"released {options.renewal_id}")


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    settings = read_settings()
    lead = settings.lead
    schedules = Schedules(period=settings.reminder_days, certificate=settings.certificate_reminder_days)
    return [
        ("fire-timer", lambda: work.fire_next_timer(pool)),
        ("look-at-slack", lambda: slack.look_at_next(pool, lead)),
        ("remind", lambda: reminders.remind_next(pool, lead, schedules)),
    ]


SERVICE = Service(
    name="application",
    purpose="Subscriptions, prices and renewals; drives each renewal to its end.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=handlers.subscriptions,
    tasks=tasks,
    migrations=Path(__file__).parent / "migrations",
    extracts=extracts.TABLES,
    after_recall=rebuilding.rebuild,
    pruning=(store.DRAFTS,),
    readings=(
        Reading(gauge=work.OPEN, query=store.OPEN_RENEWALS),
        Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),
        Reading(gauge=slack.LEAST, query=slack_store.LEAST_SLACK),
    ),
    commands={
        "import": OperatorCommand(
            help="import subscriptions from a file",
            run=_import,
            add_arguments=importing.add_arguments,
            max_size=2,  # one of the connections holds the import's lock
        ),
        "load-prices": OperatorCommand(
            help="check and load a price list from a file, before it takes effect",
            run=in_transaction(_load_prices),
            add_arguments=price_lists.add_arguments,
        ),
        "release": OperatorCommand(
            help="release a renewal on hold", run=in_transaction(_release), add_arguments=_release_arguments
        ),
    },
)

if __name__ == "__main__":
    run(SERVICE)
