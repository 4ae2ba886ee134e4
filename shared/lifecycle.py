"""A process that runs a loop: signals, a sign of life, and the small page that the platform asks."""

import json
import signal
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Final, Protocol

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = structlog.get_logger()
STALE_AFTER_SECONDS: Final = 60.0


class Stop(Protocol):
    """A flag that a signal sets, and the loop's sign of life."""

    def is_set(self) -> bool:
        """True once the process shall end."""

    def wait(self, timeout: float) -> bool:
        """Sleep, but no longer than until it is set."""

    def beat(self) -> None:
        """The loop has turned."""


class Life:
    """Set by SIGTERM and SIGINT; beaten by the loop at every turn; ready once the loop has started."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._beaten = time.monotonic()
        self._ready = False

    def is_set(self) -> bool:
        """True once the process shall end."""
        return self._stop.is_set()

    def wait(self, timeout: float) -> bool:
        """Sleep, but no longer than until the end is asked for; True if it is."""
        return self._stop.wait(timeout)

    def beat(self) -> None:
        """The loop has turned."""
        self._beaten = time.monotonic()
        self._ready = True

    def end(self) -> None:
        """Ask the loop to end."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        """The loop turned lately. Asks no dependency: a dead database must not restart every consumer."""
        return time.monotonic() - self._beaten < STALE_AFTER_SECONDS

    @property
    def ready(self) -> bool:
        """The loop has turned once and is not ending."""
        return self._ready and not self.is_set()

    def end_on_signals(self) -> None:
        """SIGTERM and SIGINT end the loop after its present turn; before its first one, the process at once."""

        def end(number: int, frame: FrameType | None) -> None:
            self.end()
            if not self._ready:
                raise SystemExit(0)  # it waits for the database or for Kafka to come up, and holds nothing yet

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)


class Health(Protocol):
    """What the platform asks of a process."""

    @property
    def alive(self) -> bool:
        """False if a restart would help."""

    @property
    def ready(self) -> bool:
        """False while others should do its work."""


def serve_admin(address: tuple[str, int], health: Health) -> ThreadingHTTPServer | None:
    """Serve /livez, /readyz and /metrics on this host and port; port 0 serves nothing."""
    if address[1] == 0:
        return None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
                "/livez": lambda: _state(health.alive),
                "/readyz": lambda: _state(health.ready),
                "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()),
            }
            page = pages.get(self.path)
            status, media_type, body = page() if page else (HTTPStatus.NOT_FOUND, "text/plain", b"")
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The platform's probes are not worth a log line each."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server


def _state(good: bool) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps({"ok": good}).encode()
