"""gunicorn on a Unix socket, as a service runs it."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.integration.shared.web.small_client import NOTES, headers
from tests.support.engines import Database, wait_until

ROOT = Path(__file__).parents[4]


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@dataclass
class Server:
    path: Path
    process: subprocess.Popen[bytes]
    database_url: str

    def ask(self, method: str, path: str, body: object = None, **more: str) -> tuple[int, bytes]:
        connection = Unix(self.path)
        try:
            connection.request(method, path, json.dumps(body), headers(**more))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/small/v1/nothing")[0] == 404
        except OSError:
            return False

    def is_in_a_transaction(self) -> bool:
        """Return whether a request has begun and has not ended."""
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'small' AND state = 'idle in transaction'"
        with psycopg.connect(self.database_url) as conn:
            return conn.execute(query).fetchone() is not None


@pytest.fixture
def server(database: Callable[[str], Database]) -> Iterator[Server]:
    url = database("application").url
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.sock"
        module = "tests.integration.shared.web.small_service"
        process = subprocess.Popen(
            [sys.executable, "-m", module, url], cwd=ROOT, env=os.environ | {"BIND": f"unix:{path}"}
        )
        try:
            started = Server(path, process, url)
            wait_until(started.is_ready, limit=30, what="it answers", every=0.1)
            yield started
        finally:
            process.kill()
            process.wait()


def test_socket_is_accessible_to_its_owner_only(server: Server) -> None:
    assert stat.S_IMODE(os.stat(server.path).st_mode) & 0o077 == 0


def test_sigterm_lets_a_running_request_end_and_the_process_ends_with_status_0(server: Server) -> None:
    answers: list[tuple[int, bytes]] = []
    running = threading.Thread(
        target=lambda: answers.append(server.ask("POST", NOTES, {"text": "slow", "seconds": 1.5}))
    )
    running.start()
    wait_until(server.is_in_a_transaction, limit=20, what="the request runs")
    server.process.send_signal(signal.SIGTERM)
    running.join(20)
    assert [status for status, _ in answers] == [201]
    assert server.process.wait(20) == 0
    assert not server.path.exists()


def test_concurrent_requests_with_one_key_are_distinguished(server: Server) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.append(server.ask("POST", NOTES, {"text": "slow", "seconds": 0.7}, Idempotency_Key="key-0001")[0])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [201, 409]


NO_HTTP = [
    b"GET / HTTP/9.9\r\n\r\n",
    b"\xff\xfe\r\n\r\n",
    b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"POST /small/v1/notes HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /small/v1/notes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: a miracle\r\n\r\n",
    b"POST /small/v1/notes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
]


def test_malformed_http_is_refused_before_the_app(server: Server) -> None:
    for raw in NO_HTTP:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(server.path))
            connection.sendall(raw)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            body = answer.read()
        assert 400 <= answer.status < 500, raw
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["status"] == answer.status
        assert json.loads(body)["type"].startswith("urn:ecert:problem:")
        assert b"x" * 50 not in body
    assert server.is_ready()


def test_headers_do_not_change_the_path(server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(server.path))
        connection.sendall(
            b"GET /x/small/v1/openapi.json HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /x\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 404")


def test_unexpected_body_is_read_before_the_answer(server: Server) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(server.path))
            head = b"GET /small/v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 262144\r\n\r\n"
            connection.sendall(head)
            time.sleep(0.01)
            connection.sendall(b"x" * 262_144)
            assert connection.recv(100).startswith(b"HTTP/1.1 404")
