"""Composition root of payment: `python -m services.payment.main {web,consume,relay,work,migrate,held,recheck}`."""

import argparse
import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.payment import extracts, handlers, outcomes, store, work
from services.payment.provider_adapter import CALL_TIMEOUT_SECONDS, ProviderAdapter
from services.payment.settings import Settings, read_service_settings, read_settings
from shared.db import Pool
from shared.runtime.command_line import run
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import Service
from shared.runtime.task_loop import Task, require_lease
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Tx
from shared.vocabulary import RenewalId
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app."""
    # Only the web process imports Flask.
    from services.payment import api
    from shared.web.app import create_app

    settings = read_settings()
    deps = api.Deps(
        provider=make_provider(settings),
        record=outcomes.recorder(SigningKey.load(settings.signing_key_file)),
        webhook_secrets=settings.webhook_secrets,
        return_url=settings.return_url,
        jwks=json.loads(settings.jwks_file.read_text("utf-8")),
    )
    return create_app(
        "payment",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KeySet.load(settings.service.identity_jwks_file),
        fingerprints=FingerprintKey.load(settings.service.fingerprint_key_file),
        deps=deps,
    )


def make_provider(settings: Settings) -> ProviderAdapter:
    """Return the client of the provider; in production it refuses a sandbox."""
    return ProviderAdapter(
        url=settings.provider_url, api_key=settings.provider_api_key, live_only=settings.is_production
    )


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    require_lease("capture, refund", work.LEASE, calls=timedelta(seconds=work.CALLS * CALL_TIMEOUT_SECONDS))
    settings = read_settings()
    provider = make_provider(settings)
    record = outcomes.recorder(SigningKey.load(settings.signing_key_file))
    return (
        ("capture", partial(work.capture_next, pool, provider, record)),
        ("refund", partial(work.refund_next, pool, provider)),
    )


def _recheck(tx: Tx, options: argparse.Namespace) -> Report:
    done = handlers.recheck(tx, RenewalId(options.renewal_id), actor=options.actor)
    values = {"renewal_id": str(options.renewal_id), "state": done}
    return Report(values=values, text=f"{options.renewal_id} is {done}")


def _recheck_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)


SERVICE: Final = Service(
    name="payment",
    purpose="Payments of renewals: checkout, capture, refund, receipt.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=handlers.subscriptions,
    tasks=tasks,
    migrations=Path(__file__).parent / "migrations",
    extracts=extracts.TABLES,
    pruning=(store.WEBHOOKS,),
    readings=(Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),),
    commands={
        "recheck": OperatorCommand(
            help="query the provider about a payment in any state, or release its held refunds",
            run=in_transaction(_recheck),
            add_arguments=_recheck_arguments,
        )
    },
)

if __name__ == "__main__":
    run(SERVICE)
