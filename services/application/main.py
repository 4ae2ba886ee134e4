"""application's processes and commands; builds every real thing."""

import argparse
import uuid
from pathlib import Path

import flask

from services.application import api, handlers, importing, work
from services.application.settings import read_settings
from shared import web
from shared.db import Pool
from shared.errors import Refused
from shared.events.base import RenewalId
from shared.main import Command, Service, open_current_pool, run
from shared.tokens import KeySet
from shared.tx import transaction


def make_app(pool: Pool) -> flask.Flask:
    """The WSGI app."""
    keys = KeySet.load(read_settings().identity_jwks_file)
    return web.create_app(
        "application", blueprints=[api.blp], problem_table=api.PROBLEMS, pool=pool, keys=keys, deps=None
    )


def _import(options: argparse.Namespace) -> None:
    pool = open_current_pool(SERVICE, read_settings(), "import")
    try:
        count = importing.import_file(pool, options.file, options.actor)
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused
    finally:
        pool.close()
    print(f"imported {count} subscriptions")


def _release(options: argparse.Namespace) -> None:
    pool = open_current_pool(SERVICE, read_settings(), "release")
    try:
        with transaction(pool) as tx:
            handlers.release(RenewalId(options.renewal_id), options.actor, tx)
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused
    finally:
        pool.close()


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)
    parser.add_argument("--actor", required=True, help="who does this, for the audit log")


SERVICE = Service(
    name="application",
    purpose="Subscriptions, prices and renewals; drives each renewal to its end.",
    read_settings=read_settings,
    make_app=make_app,
    subscriptions=lambda: handlers.SUBSCRIPTIONS,
    tasks=lambda pool: [("fire-timer", lambda: work.fire_next_timer(pool))],
    migrations=Path(__file__).parent / "migrations",
    commands={
        "import": Command(help="import subscriptions from a file", run=_import, add_arguments=importing.add_arguments),
        "release": Command(help="let a renewal on hold go on", run=_release, add_arguments=_release_arguments),
    },
)

if __name__ == "__main__":
    run(SERVICE)
