"""Composition root of application: builds all dependencies and runs one process or command."""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.application import extracts, handlers, importing, rebuilding, store, work
from services.application.settings import read_service_settings, read_settings
from shared.db import UNAVAILABLE, Pool
from shared.errors import Refused
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.service import Command, Service, open_current_pool, run
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Clock, transaction, utc_now
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
        ),
    )


def build_app(
    pool: Pool, keys: KeySet, fingerprints: FingerprintKey, deps: "api.Deps", *, clock: Clock = utc_now
) -> "flask.Flask":
    """Return the WSGI app; `keys` are identity's."""
    from services.application import api  # as above
    from shared.web import request

    return request.create_app(
        "application",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=keys,
        fingerprints=fingerprints,
        deps=deps,
        clock=clock,
    )


@contextmanager
def _operating(name: str, max_size: int = 1) -> Iterator[Pool]:
    """Yield a pool for an operator's command; an error is one line and exit status 1."""
    try:
        with open_current_pool(SERVICE, read_service_settings(), name, max_size=max_size) as pool:
            yield pool
    except Refused as refused:
        raise SystemExit(f"{refused.reason}: {refused}") from refused
    except UNAVAILABLE as error:
        raise SystemExit(f"The database cannot be used: {error}") from error


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


def _import(options: argparse.Namespace) -> None:
    # Two connections: one holds the import's lock.
    with _operating("import", max_size=2) as pool:
        count = importing.import_file(pool, options.file, options.actor, report=_shown_progress())
    print(f"imported {count} subscriptions")


def _release(options: argparse.Namespace) -> None:
    with _operating("release") as pool, transaction(pool) as tx:
        handlers.release(tx, RenewalId(options.renewal_id), options.actor)
    print(f"released {options.renewal_id}")


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("renewal_id", type=uuid.UUID)
    parser.add_argument("--actor", required=True, help="name for the audit log")


SERVICE = Service(
    name="application",
    purpose="Subscriptions, prices and renewals; drives each renewal to its end.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=handlers.subscriptions,
    tasks=lambda pool: [("fire-timer", lambda: work.fire_next_timer(pool))],
    migrations=Path(__file__).parent / "migrations",
    extracts=extracts.TABLES,
    after_recall=rebuilding.rebuild,
    pruning=(store.DRAFTS,),
    readings=(
        Reading(gauge=work.OPEN, query=store.OPEN_RENEWALS),
        Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),
    ),
    commands={
        "import": Command(help="import subscriptions from a file", run=_import, add_arguments=importing.add_arguments),
        "release": Command(help="release a renewal on hold", run=_release, add_arguments=_release_arguments),
    },
)

if __name__ == "__main__":
    run(SERVICE)
