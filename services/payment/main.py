"""Builds payment's processes: `python -m services.payment.main {web,consume,relay,work,migrate,held,recheck}`."""

import argparse
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.payment import handlers, outcomes, store, work
from services.payment.gateway import ProviderGateway
from services.payment.settings import Settings, read_service_settings, read_settings
from shared import db, main
from shared.db import Pool
from shared.events.base import RenewalId
from shared.gauges import OLDEST_DUE, Reading
from shared.idempotency import FingerprintKey
from shared.main import Command
from shared.tokens import KeySet, SigningKey
from shared.tx import transaction
from shared.work import Task

if TYPE_CHECKING:
    import flask


def make_app(pool: Pool) -> "flask.Flask":
    """The HTTP side."""
    # Flask is loaded by the web process alone.
    from services.payment import api
    from shared import web

    settings = read_settings()
    deps = api.Deps(
        provider=make_gateway(settings),
        record=outcomes.recorder(SigningKey.load(settings.signing_key_file)),
        webhook_secrets=settings.webhook_secrets,
        return_url=settings.return_url,
    )
    return web.create_app(
        "payment",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KeySet.load(settings.service.identity_jwks_file),
        fingerprints=FingerprintKey.load(settings.service.fingerprint_key_file),
        deps=deps,
    )


def make_gateway(settings: Settings) -> ProviderGateway:
    """The way to the provider; in production only to one that moves real money."""
    return ProviderGateway(
        url=settings.provider_url, api_key=settings.provider_api_key, live_only=settings.is_production
    )


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """What the work process does in turn."""
    settings = read_settings()
    gateway = make_gateway(settings)
    record = outcomes.recorder(SigningKey.load(settings.signing_key_file))
    return (
        ("capture", partial(work.capture_next, pool, gateway, record)),
        ("refund", partial(work.refund_next, pool, gateway)),
    )


def _recheck(options: argparse.Namespace) -> None:
    settings = read_settings()
    pool = db.open_pool(settings.service.database_url, name="payment-recheck", max_size=1)
    try:
        with transaction(pool) as tx:
            handlers.recheck(RenewalId(options.renewal_id), tx, actor=options.actor)
    finally:
        pool.close()


def _recheck_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)
    parser.add_argument("--actor", required=True, help="who asks for it, for the audit log")


SERVICE: Final = main.Service(
    name="payment",
    purpose="Payments of renewals: checkout, capture, refund, receipt.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=handlers.subscriptions,
    tasks=tasks,
    migrations=Path(__file__).parent / "migrations",
    readings=(Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),),
    commands={
        "recheck": Command(
            help="ask the provider again about a held payment, or release its held refunds",
            run=_recheck,
            add_arguments=_recheck_arguments,
        )
    },
)

if __name__ == "__main__":
    main.run(SERVICE)
