"""Composition root of a perspective: `python -m perspective.main web`."""

import argparse

from flask import Flask

from perspective import settings
from perspective.app import create_app
from perspective.fetcher import Fetcher
from perspective.observing import Observer
from perspective.resolver import Resolver
from perspective.settings import Settings
from shared.observability import logs, tracing
from shared.web.gunicorn_server import serve


def make_app(given: Settings) -> Flask:
    """Return the WSGI app of these settings."""
    resolver = Resolver(given.resolver)
    observer = Observer(resolver=resolver, fetcher=Fetcher(resolver, given.local), timeout=given.timeout)
    return create_app(given, observer)


def web() -> None:
    """Serve issuance's requests until SIGTERM."""
    given = settings.read()
    logs.configure("perspective", "web", given.log_level)

    def make() -> Flask:
        tracing.configure("perspective", "web")
        app = make_app(given)
        tracing.instrument(app)
        return app

    with logs.start_and_end(given):
        serve(make, given.web, admin=given.admin, is_ready=Resolver(given.resolver).validates, on_exit=lambda: None)


def main() -> None:
    """Run the process named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m perspective.main", description=__doc__)
    commands = parser.add_subparsers(dest="process", required=True)
    commands.add_parser("web", help=web.__doc__)
    parser.parse_args()
    web()


if __name__ == "__main__":
    main()
