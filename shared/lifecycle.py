"""Worker lifecycle: signal handling, heartbeat, and the admin server (/livez, /readyz, /metrics)."""

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


class StopSignal(Protocol):
    """Stop flag set by a signal, with the loop's heartbeat."""

    def is_set(self) -> bool:
        """Return whether the process is to end."""

    def wait(self, timeout: float) -> bool:
        """Sleep, at most until the flag is set."""

    def beat(self) -> None:
        """Record an iteration of the loop."""


class Lifecycle:
    """Lifecycle of one loop: stopped by SIGTERM and SIGINT, alive while it iterates, ready once it has started."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._beaten = time.monotonic()
        self._ready = False

    def is_set(self) -> bool:
        """Return whether the process is to end."""
        return self._stop.is_set()

    def wait(self, timeout: float) -> bool:
        """Sleep, at most until the end is requested. Returns whether it is."""
        return self._stop.wait(timeout)

    def beat(self) -> None:
        """Record an iteration of the loop."""
        self._beaten = time.monotonic()
        self._ready = True

    def end(self) -> None:
        """Request the loop's end."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        """Whether the loop iterated recently.

        Checks no dependency: an unavailable database must not restart every consumer.
        """
        return time.monotonic() - self._beaten < STALE_AFTER_SECONDS

    @property
    def ready(self) -> bool:
        """Whether the loop has started and is not ending."""
        return self._ready and not self.is_set()

    def end_on_signals(self) -> None:
        """Handle SIGTERM and SIGINT: end the loop after its current iteration; before the first one, end the process at
        once.
        """

        def end(number: int, frame: FrameType | None) -> None:
            self.end()
            if not self._ready:
                raise SystemExit(0)  # it waits for the database or Kafka, and holds nothing yet

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)


class Health(Protocol):
    """Health of a process, for the platform's probes."""

    @property
    def alive(self) -> bool:
        """False if a restart would help."""

    @property
    def ready(self) -> bool:
        """False while other processes should do its work."""


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
            """Skip logging: probes are frequent."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server


def _state(good: bool) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps({"ok": good}).encode()
