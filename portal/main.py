"""Composition root of the portal: `python -m portal.main web`."""

import argparse

from flask import Flask

from portal import settings
from portal.app import create_app
from portal.gateway import API
from portal.web import Deps
from shared.observability import logs, tracing
from shared.web.gunicorn_server import serve


def web() -> None:
    """Serve the pages until SIGTERM."""
    given = settings.read()
    logs.configure("portal", "web", given.log_level)
    api = API(given)

    def make_app() -> Flask:
        tracing.configure("portal", "web")
        app = create_app(Deps(settings=given, api=api))
        tracing.instrument(app)
        return app

    with logs.start_and_end(given):
        serve(
            make_app,
            given.web,
            admin=given.admin,
            # If the API is unavailable, the pages say so themselves.
            is_ready=lambda: True,
            on_exit=api.close,
        )


def main() -> None:
    """Run the process named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m portal.main", description=__doc__)
    commands = parser.add_subparsers(dest="process", required=True)
    commands.add_parser("web", help=web.__doc__)
    parser.parse_args()
    web()


if __name__ == "__main__":
    main()
