"""Composition root of payment: `python -m services.payment.main {web,consume,relay,work,migrate,held,recheck}`."""

import argparse
import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from services.payment import extracts, handlers, outcomes, store, work
from services.payment.gateway import CALL_SECONDS, ProviderGateway
from services.payment.settings import Settings, read_service_settings, read_settings
from shared.db import Pool
from shared.errors import Refused
from shared.runtime import service
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.service import Command, open_current_pool
from shared.runtime.task_loop import Task, require_lease
from shared.security.tokens import KeySet, SigningKey
from shared.tx import transaction
from shared.vocabulary import RenewalId
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app."""
    # Only the web process imports Flask.
    from services.payment import api
    from shared.web import request

    settings = read_settings()
    deps = api.Deps(
        provider=make_gateway(settings),
        record=outcomes.recorder(SigningKey.load(settings.signing_key_file)),
        webhook_secrets=settings.webhook_secrets,
        return_url=settings.return_url,
        jwks=json.loads(settings.jwks_file.read_text("utf-8")),
    )
    return request.create_app(
        "payment",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KeySet.load(settings.service.identity_jwks_file),
        fingerprints=FingerprintKey.load(settings.service.fingerprint_key_file),
        deps=deps,
    )


def make_gateway(settings: Settings) -> ProviderGateway:
    """Return the client of the provider; in production it refuses a sandbox."""
    return ProviderGateway(
        url=settings.provider_url, api_key=settings.provider_api_key, live_only=settings.is_production
    )


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    require_lease("capture, refund", work.LEASE, calls=timedelta(seconds=work.CALLS * CALL_SECONDS))
    settings = read_settings()
    gateway = make_gateway(settings)
    record = outcomes.recorder(SigningKey.load(settings.signing_key_file))
    return (
        ("capture", partial(work.capture_next, pool, gateway, record)),
        ("refund", partial(work.refund_next, pool, gateway)),
    )


def _recheck(options: argparse.Namespace) -> None:
    """Print what is done. A refusal, or an unavailable database, is one line and exit status 1."""
    settings = read_settings()
    try:
        with open_current_pool(SERVICE, settings.service, "recheck", max_size=1) as pool, transaction(pool) as tx:
            done = handlers.recheck(tx, RenewalId(options.renewal_id), actor=options.actor)
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused
    except psycopg.OperationalError as error:
        raise SystemExit(f"The database cannot be used: {error}") from error
    print(f"{options.renewal_id} is {done}")


def _recheck_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)
    parser.add_argument("--actor", required=True, help="name for the audit log")


SERVICE: Final = service.Service(
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
        "recheck": Command(
            help="query the provider about a payment in any state, or release its held refunds",
            run=_recheck,
            add_arguments=_recheck_arguments,
        )
    },
)

if __name__ == "__main__":
    service.run(SERVICE)
