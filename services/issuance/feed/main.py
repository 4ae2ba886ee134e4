"""Process of the feed, and its operators' commands."""

import argparse
import json
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from services.issuance.feed import readers
from services.issuance.feed.readers import Reader, Role
from services.issuance.feed.settings import Settings, read_settings
from services.issuance.feed.store import Newest, newest
from shared import db
from shared.db import Pool
from shared.observability import logs
from shared.runtime import migrate
from shared.runtime.migrate import Migration
from shared.runtime.operator_commands import Report
from shared.runtime.processes import STARTED, serve_http
from shared.security.tokens import KeySet
from shared.tx import Tx
from shared.validation import texts
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from services.issuance.feed.head import Head

# Threads that never wait, so that pages are answered however many requests wait at the head.
_PAGE_THREADS: Final = 8


def make_app(pool: Pool, settings: Settings) -> "tuple[flask.Flask, Head]":
    """Return the WSGI app and its head. Raises ValueError for an invalid key set."""
    from services.issuance.feed import api
    from services.issuance.feed.head import Head
    from shared.web.app import create_app

    jwks = settings.jwks_file.read_bytes()
    KeySet.parse(json.loads(jwks))

    def look() -> Newest:
        with pool.connection() as conn:
            return newest(conn)

    head = Head(look, places=settings.web.threads - _PAGE_THREADS)
    app = create_app(
        "issuance",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        # No request has an access token, or changes anything.
        keys=KeySet(keys={}),
        fingerprints=FingerprintKey(secrets.token_bytes(32)),
        deps=api.Deps(head=head, jwks=jwks),
        servers=api.SERVERS,
    )
    return app, head


def run(migrations: Sequence[Migration]) -> None:
    """Serve readers until stopped."""
    settings = read_settings()
    logs.configure("issuance", "feed", settings.log_level)

    def open_pool() -> Pool:
        return db.open_pool(settings.database_url, name="issuance-feed", max_size=8, writes=False)

    def make(pool: Pool) -> "flask.Flask":
        migrate.wait_until_current(pool, migrations)
        app, head = make_app(pool, settings)
        head.start()
        _close_on_sigterm(head)
        STARTED.labels("issuance", "feed").set(1)
        return app

    serve_http("issuance", "feed", settings, open_pool=open_pool, make_app=make)


def _close_on_sigterm(head: "Head") -> None:
    """Answer waiting requests at once when gunicorn stops its worker."""
    gunicorn = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        head.close()
        if callable(gunicorn):
            gunicorn(number, frame)

    signal.signal(signal.SIGTERM, end)


def register(tx: Tx, options: argparse.Namespace) -> Report:
    """Run the command `register-reader`."""
    pem = options.certificate.read_bytes()
    reader = readers.register(tx, options.name, options.role, pem, actor=options.actor)
    return Report(values=_row(reader), text=_line(reader))


def withdraw(tx: Tx, options: argparse.Namespace) -> Report:
    """Run the command `withdraw-reader`."""
    digest = texts.compact(options.sha256).replace(":", "").lower()
    reader = readers.withdraw(tx, digest, actor=options.actor, reason=options.reason)
    return Report(values=_row(reader), text=_line(reader))


def list_readers(tx: Tx, options: argparse.Namespace) -> Report:
    """Run the command `readers`."""
    return Report(values=[_row(each) for each in readers.everyone(tx.conn)])


def register_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `register-reader`."""
    parser.add_argument("name", help="name of the reader; it may have an old and a new certificate")
    parser.add_argument("certificate", type=Path, help="client certificate of the reader, PEM")
    parser.add_argument("--role", type=Role, choices=list(Role), default=Role.READER)


def withdraw_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `withdraw-reader`."""
    parser.add_argument("sha256", help="SHA-256 of the certificate, in hexadecimal")
    parser.add_argument("--reason", required=True)


def _line(reader: Reader) -> str:
    state = f"withdrawn {reader.withdrawn_at}" if reader.withdrawn_at else f"until {reader.not_after}"
    return f"{reader.reader}  {reader.role}  {reader.certificate_sha256}  {state}"


def _row(reader: Reader) -> dict[str, object]:
    return {
        "reader": reader.reader,
        "role": reader.role,
        "certificate_sha256": reader.certificate_sha256,
        "not_after": reader.not_after,
        "withdrawn_at": reader.withdrawn_at,
    }
