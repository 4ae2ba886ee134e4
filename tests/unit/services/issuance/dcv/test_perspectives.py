"""The client against servers of this process, with mutual TLS: none can stop, delay or speak for another."""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.local.inside import InsideCA
from services.issuance.dcv import perspectives
from services.issuance.dcv.perspectives import Credentials, Failure, Perspectives, Timeouts
from services.issuance.dcv.quorum import Perspective, PerspectiveSet, Place, Region, Role
from shared.pki.observations import (
    MAX_REPORT_BYTES,
    Kind,
    Observation,
    Outcome,
    Question,
    Report,
    read_inquiry,
)
from tests.support.dripping import BEGINNINGS, within

NAMES: Final = ("hkg", "sin", "fra", "iad", "gru", "jnb")
QUESTIONS: Final = (Question(Kind.TXT, "_validation.www.example.com"), Question(Kind.CAA, "www.example.com"))
ATTEMPT: Final = uuid.UUID(int=7)
TIMEOUTS: Final = Timeouts(connect=0.5, total=1.0)
# Room for a slow machine between the limit and what a test accepts.
SLACK: Final = 1.5

Serve = Callable[[BaseHTTPRequestHandler, bytes], None]


class Server:
    """A server for each perspective; `behaviour` changes how one of them answers."""

    def __init__(self, folder: Path) -> None:
        self.behaviour: dict[str, Serve] = {}
        self.inquiries: list[tuple[str, uuid.UUID]] = []
        self.released = threading.Event()
        ca = InsideCA.make("perspectives", now=datetime.now(UTC))
        (folder / "ca.pem").write_bytes(ca.pem)
        ca.issue(["issuance.test"], folder / "client")
        self.credentials = Credentials(
            ca_file=folder / "ca.pem", certificate=folder / "client.pem", key=folder / "client.key"
        )
        self._servers = {name: self._start(name, ca, folder) for name in NAMES}
        regions = ("APNIC", "APNIC", "RIPE", "ARIN", "LACNIC", "AFRINIC")
        self.set = PerspectiveSet(
            tuple(
                Perspective(
                    name=name,
                    role=Role.PRIMARY if name == "hkg" else Role.REMOTE,
                    url=f"https://{name}.perspectives.test",
                    address=("127.0.0.1", self._servers[name].server_port),
                    region=Region(region),
                    resolver=Place(0, 20.0 * number),
                )
                for number, (name, region) in enumerate(zip(NAMES, regions, strict=True))
            )
        )

    def _start(self, name: str, ca: InsideCA, folder: Path) -> ThreadingHTTPServer:
        ca.issue([f"{name}.perspectives.test"], folder / name)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        context.verify_mode = ssl.CERT_REQUIRED
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.inquiries.append((name, read_inquiry(body).attempt_id))
                outer.behaviour.get(name, honest(name))(self, body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def stop(self) -> None:
        self.released.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def report(name: str, body: bytes, **changes: Any) -> bytes:
    inquiry = read_inquiry(body)
    seen = tuple(Observation(kind=each.kind, name=each.name, outcome=Outcome.ABSENT) for each in inquiry.questions)
    document = Report(
        perspective=name, resolver="127.0.0.1:53", attempt_id=inquiry.attempt_id, observations=seen
    ).document()
    return json.dumps(document | changes).encode()


def honest(name: str, **changes: Any) -> Serve:
    return lambda handler, body: send(handler, report(name, body, **changes))


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("perspectives"))
    yield made
    made.stop()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    shared_server.behaviour.clear()
    shared_server.inquiries.clear()
    shared_server.released = threading.Event()
    yield shared_server
    shared_server.released.set()


@pytest.fixture
def client(server: Server) -> Iterator[Perspectives]:
    made = Perspectives(server.set, server.credentials, TIMEOUTS)
    yield made
    made.close()


def failures(found: Any) -> dict[str, str]:
    return {name: each.reason for name, each in found.items() if isinstance(each, Failure)}


def test_every_perspective_is_asked_and_reports_by_name(server: Server, client: Perspectives) -> None:
    found = client.observe(QUESTIONS, ATTEMPT)
    assert [*found] == [*NAMES]
    assert client.primary == "hkg"
    assert failures(found) == {}
    assert sorted(server.inquiries) == sorted((name, ATTEMPT) for name in NAMES)
    for name, each in found.items():
        assert isinstance(each, Report)
        assert (each.perspective, tuple(seen.question for seen in each.observations)) == (name, QUESTIONS)


def test_retry_asks_all_of_them_again(server: Server, client: Perspectives) -> None:
    server.behaviour["sin"] = lambda handler, body: send(handler, b"{}", 503)
    assert failures(client.observe(QUESTIONS, ATTEMPT)) == {"sin": "refused"}
    server.behaviour.clear()
    assert failures(client.observe(QUESTIONS, uuid.UUID(int=8))) == {}
    assert len(server.inquiries) == 12


def slow(server: Server, name: str) -> Serve:
    def serve(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        server.released.wait(20)
        send(handler, report(name, body))

    return serve


def drip(server: Server, before: bytes) -> Serve:
    """Return a server that sends a byte every tenth of a second: no single read takes long."""

    def serve(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(before)
        while not server.released.wait(0.1):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    return serve


def cut(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.close_connection = True


def reset(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (lambda server: lambda handler, body: send(handler, b'{"type": "urn:ecert:problem:internal"}', 500), "refused"),
        (lambda server: lambda handler, body: send(handler, b"<html>", 403), "refused"),
        (lambda server: lambda handler, body: send(handler, b"", 204), "unreadable"),
        (lambda server: lambda handler, body: send(handler, b"not JSON"), "unreadable"),
        (lambda server: lambda handler, body: send(handler, b"[" * 100_000), "unreadable"),
        (lambda server: lambda handler, body: send(handler, b" " * (MAX_REPORT_BYTES + 1)), "unavailable"),
        (lambda server: honest("fra"), "unreadable"),
        (lambda server: honest("sin", attempt_id=str(uuid.UUID(int=6))), "unreadable"),
        (lambda server: honest("sin", observations=[]), "unreadable"),
        (lambda server: honest("sin", extra=1), "unreadable"),
        (lambda server: cut, "unavailable"),
        (lambda server: reset, "unavailable"),
        (lambda server: slow(server, "sin"), "timed-out unavailable"),
        (lambda server: drip(server, b"HTTP/1.1 200 OK\r\nX-Header: "), "timed-out unavailable"),
        (lambda server: drip(server, b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"), "timed-out unavailable"),
    ],
)
def test_perspective_that_fails_hangs_or_lies_is_a_failure_and_the_others_report(
    server: Server, client: Perspectives, serve: Callable[[Server], Serve], reason: str
) -> None:
    server.behaviour["sin"] = serve(server)
    begun = time.monotonic()
    found = client.observe(QUESTIONS, ATTEMPT)
    assert time.monotonic() - begun < TIMEOUTS.total + SLACK
    assert [*failures(found)] == ["sin"]
    failure = found["sin"]
    assert isinstance(failure, Failure)
    assert failure.reason in reason.split()
    assert failure.perspective == "sin"
    assert len(failure.detail) <= 200


def test_all_that_hang_together_take_no_longer_than_one(server: Server, client: Perspectives) -> None:
    server.behaviour |= {name: slow(server, name) for name in NAMES}
    begun = time.monotonic()
    assert len(failures(client.observe(QUESTIONS, ATTEMPT))) == 6
    assert time.monotonic() - begun < TIMEOUTS.total + SLACK


def asking(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"ask-{name}"]


def test_hanging_perspective_keeps_its_own_threads_only_and_recovers(
    server: Server, client: Perspectives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perspectives, "MAX_REQUESTS", 2)
    few = Perspectives(server.set, server.credentials, TIMEOUTS)
    server.behaviour["sin"] = slow(server, "sin")
    others = [threading.Thread(target=few.observe, args=(QUESTIONS, ATTEMPT)) for _ in range(2)]
    for thread in others:
        thread.start()
    while len(server.inquiries) < 12:
        time.sleep(0.01)
    assert failures(few.observe(QUESTIONS, ATTEMPT)) == {"sin": "busy"}
    assert [thread.daemon for thread in asking("sin")] == [True, True]
    server.behaviour.clear()
    server.released.set()
    for thread in [*others, *asking("sin")]:
        thread.join(10)
    assert failures(few.observe(QUESTIONS, ATTEMPT)) == {}
    few.close()


@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_perspective_that_answers_byte_by_byte_gives_its_thread_back_in_time(server: Server, begins: bytes) -> None:
    few = Perspectives(server.set, server.credentials, Timeouts(connect=0.5, total=0.4))
    server.behaviour["sin"] = drip(server, begins)
    with within(0.4 + SLACK):
        assert "sin" in failures(few.observe(QUESTIONS, ATTEMPT))
        for thread in asking("sin"):
            thread.join(5)
    assert asking("sin") == []
    few.close()


def test_perspective_without_a_listener_is_unavailable(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    changed = tuple(
        Perspective(**vars(each) | {"address": ("127.0.0.1", port)}) if each.name == "jnb" else each
        for each in server.set.perspectives
    )
    client = Perspectives(PerspectiveSet(changed), server.credentials, TIMEOUTS)
    assert failures(client.observe(QUESTIONS, ATTEMPT)) == {"jnb": "unavailable"}
    client.close()


def test_perspective_with_the_certificate_of_another_is_unavailable(server: Server) -> None:
    addresses = {each.name: each.address for each in server.set.perspectives}
    changed = tuple(
        Perspective(**vars(each) | {"address": addresses["fra"]}) if each.name == "iad" else each
        for each in server.set.perspectives
    )
    client = Perspectives(PerspectiveSet(changed), server.credentials, TIMEOUTS)
    found = client.observe(QUESTIONS, ATTEMPT)
    assert failures(found) == {"iad": "unavailable"}
    client.close()


def test_client_with_a_certificate_of_another_ca_gets_no_report(server: Server, tmp_path: Path) -> None:
    InsideCA.make("other", now=datetime.now(UTC)).issue(["issuance.test"], tmp_path / "client")
    strange = Credentials(
        ca_file=server.credentials.ca_file, certificate=tmp_path / "client.pem", key=tmp_path / "client.key"
    )
    client = Perspectives(server.set, strange, TIMEOUTS)
    assert set(failures(client.observe(QUESTIONS, ATTEMPT)).values()) == {"unavailable"}
    assert server.inquiries == []
    client.close()
