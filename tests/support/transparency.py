"""Certificate transparency logs in this process, on loopback: one server for all tests, with a clock that they set."""

import atexit
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from werkzeug.exceptions import ServiceUnavailable
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from deploy.local.ct import logs
from deploy.local.ct.app import create_app
from deploy.local.ct.log import LocalLog
from deploy.local.inside import InsideCA
from services.issuance.ct import log_list
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.log_list import LogList
from services.issuance.ct.submission import Logs
from tests.unit.services.issuance.pki import NOW, issuing_ca

HANGS_SECONDS = 10.0


class _Silent(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Write nothing for each request."""


class RunningLogs:
    """The logs, their list, and their faults: of a name's log, `down`, `hanging`, or the name of another log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now: Callable[[], datetime] = lambda: NOW
        self.down: set[str] = set()
        self.hanging: set[str] = set()
        self.instead: dict[str, str] = {}
        self._released = threading.Event()
        self._servers: list[tuple[BaseWSGIServer, threading.Thread]] = []
        self._secure: BaseWSGIServer | None = None
        self._server = self._started()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        logs.create(folder, self.url, now=NOW)
        logs.create(folder, self.url, now=datetime.now(UTC))  # the list of processes, whose clock is the machine's
        roots = [made[0].chain[-1] for made in (issuing_ca(), issuing_ca("ec"))]
        self._database, self.logs = logs.open_logs(folder, roots, clock=lambda: self.now())
        self._app = create_app(self.logs)

    @property
    def list_file(self) -> Path:
        """The log list's file."""
        return self.folder / logs.LOG_LIST

    @property
    def log_list(self) -> LogList:
        """The log list; never too old, because tests set their clock."""
        return replace(log_list.load(self.list_file, plain_http=True), made_at=datetime.max.replace(tzinfo=UTC))

    def client(self, **limits: Any) -> Logs:
        """Return issuance's side of these logs."""
        return Logs(self.log_list, LogClient(), **limits)

    def secure(self) -> dict[str, str]:
        """Return the settings of the same logs by HTTPS; started at the first call."""
        if self._secure is None:
            folder, now = self.folder / "tls", datetime.now(UTC)
            shutil.copytree(self.folder, folder)
            ca = InsideCA.make("logs", now=now)
            ca.issue(("localhost",), folder / "tls")
            (folder / "ca.pem").write_bytes(ca.pem)
            self._secure = self._started((str(folder / "tls.pem"), str(folder / "tls.key")))
            logs.create(folder, f"https://localhost:{self._secure.server_port}", now=now)
        place = self.folder / "tls"
        return {"CT_LOG_LIST_FILE": str(place / logs.LOG_LIST), "CT_CA_FILE": str(place / "ca.pem")}

    def sound(self) -> None:
        """End all faults."""
        self.down, self.hanging, self.instead = set(), set(), {}
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        """Stop the server and delete the folder."""
        self.sound()
        for server, thread in self._servers:
            server.shutdown()
            thread.join()
            server.server_close()
        self._database.close()
        shutil.rmtree(self.folder)

    def _started(self, tls: tuple[str, str] | None = None) -> BaseWSGIServer:
        server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Silent, ssl_context=tls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._servers.append((server, thread))
        return server

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        _, name, rest = environ["PATH_INFO"].split("/", 2)
        if name in self.hanging:
            self._released.wait(HANGS_SECONDS)
        if name in self.down:
            return ServiceUnavailable()(environ, start_response)
        environ["PATH_INFO"] = f"/{self.instead.get(name, name)}/{rest}"
        return self._app(environ, start_response)


@cache
def running_logs() -> RunningLogs:
    """Return the logs of this process; started by the first test that needs them."""
    running = RunningLogs(Path(tempfile.mkdtemp(prefix="ct-logs-")))
    atexit.register(running.close)
    return running


@contextmanager
def lying(log: LocalLog, **parts: Any) -> Iterator[None]:
    """Replace parts of a log, such as its clock or its signing, until the block ends."""
    before = {name: log.__dict__.get(name) for name in parts}
    log.__dict__.update(parts)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del log.__dict__[name]
            else:
                log.__dict__[name] = value


def an_hour_ahead(log: LocalLog) -> Callable[[], datetime]:
    """Return a clock an hour ahead of the log's."""
    right = log.clock
    return lambda: right() + timedelta(hours=1)
