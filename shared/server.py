"""gunicorn, told what its defaults get wrong for us."""

from collections.abc import Callable
from typing import Any, Final

import flask
from gunicorn.app.base import BaseApplication

GRACE_SECONDS: Final = 20


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, make_app: Callable[[], flask.Flask], options: dict[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> flask.Flask:
        """Called in the worker, after the fork: pools and clients are made here."""
        return self._make_app()


def serve(make_app: Callable[[], flask.Flask], *, bind: str, threads: int, on_exit: Callable[[], None]) -> None:
    """Serve until SIGTERM: running requests are finished within GRACE_SECONDS. One worker; scale by processes."""
    _Server(
        make_app,
        {
            "bind": bind,
            "umask": 0o077,
            "workers": 1,
            "worker_class": "gthread",
            "threads": threads,
            "graceful_timeout": GRACE_SECONDS,
            "timeout": 90,
            "worker_exit": lambda server, worker: on_exit(),
            "control_socket_disable": True,
            "limit_request_field_size": 16_380,
            "limit_request_line": 4_094,
            "accesslog": None,
            "loglevel": "warning",
        },
    ).run()
