"""gunicorn configuration: one gthread worker, graceful shutdown, optional mutual TLS, RFC 9457 error bodies."""

import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import flask
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from shared import lifecycle
from shared.settings import Address, TLSFiles, WebSettings
from shared.web.problems import MEDIA_TYPE, Problem

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
        """Build the app in the worker, after the fork, where pools and clients must be created."""
        return self._make_app()


def _refuse(client: socket.socket, status: int, reason: str, _words: str) -> None:
    """Answer gunicorn's own refusals (a request line or header too long, an Expect) with a problem, not a web page."""
    problem = Problem(HTTPStatus(status), reason.lower().replace(" ", "-"), reason)
    body = json.dumps(problem.body(None)).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode() + body)


class _Logger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Logger of gunicorn's own messages: JSON on standard output, as for all others."""

    def setup(self, cfg: object) -> None:
        """Configure gunicorn's loggers without handlers of their own."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


@dataclass(frozen=True)
class _Health:
    """Health of the web process: gunicorn's master restarts a worker that hangs; the app's own
    check decides readiness.
    """

    is_ready: Callable[[], bool]
    alive: bool = True

    @property
    def ready(self) -> bool:
        return self.is_ready()


def serve(
    make_app: Callable[[], flask.Flask],
    web: WebSettings,
    *,
    admin: Address,
    is_ready: Callable[[], bool],
    on_exit: Callable[[], None],
) -> None:
    """Serve until SIGTERM; running requests are completed within GRACE_SECONDS. One worker; scale by processes.

    The admin port is separate: the app's clients cannot reach it, nor the platform the app.
    """
    util.write_error = _refuse
    _Server(
        make_app,
        {
            **_tls(web.tls),
            "bind": web.bind,
            "umask": 0o077,
            "workers": 1,
            "worker_class": "gthread",
            "threads": web.threads,
            "graceful_timeout": GRACE_SECONDS,
            "timeout": 90,
            "post_fork": lambda server, worker: lifecycle.serve_admin(admin, _Health(is_ready)),
            "worker_exit": lambda server, worker: on_exit(),
            "control_socket_disable": True,
            # By default a header SCRIPT_NAME could change the routed path.
            "forwarder_headers": "",
            "limit_request_field_size": 16_380,
            "limit_request_line": 4_094,
            "accesslog": None,
            "logger_class": _Logger,
            "loglevel": "warning",
        },
    ).run()


def _tls(files: TLSFiles | None) -> dict[str, Any]:
    """Return mutual TLS; only the gateway has a certificate of that issuer, so nobody else passes the handshake."""
    if files is None:
        return {}
    return {
        "certfile": str(files.certificate),
        "keyfile": str(files.key),
        "ca_certs": str(files.client_ca),
        "cert_reqs": ssl.CERT_REQUIRED,
    }
