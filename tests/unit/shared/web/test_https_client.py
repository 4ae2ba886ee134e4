"""The HTTPS client against a server of this process that answers by path and demands a client certificate."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from deploy.local.inside import InsideCA
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPSClient, Limits
from tests.support.dripping import BEGINNINGS, within

HOST: Final = "api.ecert.test"
MAX_BYTES: Final = 1000
PROBLEM: Final = {"type": "urn:ecert:problem:csr-refused", "title": "No", "reason": "csr-too-large"}
ANSWERS: Final[dict[str, tuple[int, bytes]]] = {
    "/exact": (200, b"x" * MAX_BYTES),
    "/one-more": (200, b"x" * (MAX_BYTES + 1)),
    "/too-long": (200, b"x" * 1000 * MAX_BYTES),
    "/moved": (302, b""),
    "/problem": (422, json.dumps(PROBLEM).encode()),
    "/page": (502, b"<html>Bad gateway</html>" + b"x" * 500),
    "/list": (404, b"[1]"),
}
# What comes at once, and how many bytes follow it one by one.
DRIPS: Final = {
    "/slow": (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", 8),
    **{f"/drip/{part}": (begins, 100) for part, begins in BEGINNINGS.items()},
}


class Handler(BaseHTTPRequestHandler):
    """Answers of a table; any other path is answered with what the request was."""

    protocol_version = "HTTP/1.1"
    # The address from which each request came, and the server name that each connection asked for.
    peers: ClassVar[list[Any]] = []
    names: ClassVar[list[str | None]] = []

    def drip(self, begins: bytes, count: int) -> None:
        """Send the rest byte by byte: no single read takes long."""
        self.wfile.write(begins)
        for _ in range(count):
            time.sleep(0.05)
            try:
                self.wfile.write(b"1")
            except OSError:
                return

    def do_GET(self) -> None:
        self.peers.append(self.client_address)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        seen = {"headers": dict(self.headers), "body": body}
        if self.path in DRIPS:
            self.drip(*DRIPS[self.path])
            return
        status, content = ANSWERS.get(self.path, (200, json.dumps(seen).encode()))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/exact")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("https")
    ca = InsideCA.make("test", now=datetime.now(UTC))
    (folder / "ca.pem").write_bytes(ca.pem)
    ca.issue([HOST], folder / "server")
    ca.issue(["client.test"], folder / "client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.sni_callback = lambda connection, name, context: Handler.names.append(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Endpoint(
        url=f"https://{HOST}:8443",
        address=("127.0.0.1", server.server_port),
        ca_file=folder / "ca.pem",
        certificate=folder / "client.pem",
        key=folder / "client.key",
    )
    server.shutdown()
    thread.join()
    server.server_close()


def connect(endpoint: Endpoint) -> HTTPSClient:
    return HTTPSClient(endpoint, Limits(connections=1, connect_timeout=2, read_timeout=2, max_bytes=MAX_BYTES))


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[HTTPSClient]:
    made = connect(endpoint)
    yield made
    made.close()


def test_request_carries_public_host_token_key_and_json(client: HTTPSClient) -> None:
    seen = client.request("POST", "/echo", {"a": "é"}, token="t", key="k", headers={"X-Request-Id": "r"}).json()
    headers = seen["headers"]
    assert headers["Host"] == f"{HOST}:8443"
    assert (headers["Authorization"], headers["Idempotency-Key"]) == ("Bearer t", "k")
    assert (headers["Content-Type"], headers["X-Request-Id"]) == ("application/json", "r")
    assert json.loads(seen["body"]) == {"a": "é"}


def test_post_without_key_gets_a_new_one_each_time_and_get_none(client: HTTPSClient) -> None:
    keys = [client.request("POST", "/echo").json()["headers"]["Idempotency-Key"] for _ in range(2)]
    assert len({*keys}) == 2
    assert "Idempotency-Key" not in client.request("GET", "/echo").json()["headers"]


def test_connection_is_kept_for_the_next_request(client: HTTPSClient) -> None:
    Handler.peers.clear()
    client.request("GET", "/echo")
    with pytest.raises(APIProblem):
        client.request("GET", "/problem")
    client.request("GET", "/echo")
    assert len({*Handler.peers}) == 1


def test_connection_asks_for_the_public_name(client: HTTPSClient) -> None:
    Handler.names.clear()
    client.request("GET", "/echo")
    assert Handler.names == [HOST]


@pytest.mark.parametrize("path", ["/one-more", "/too-long"])
def test_reply_of_the_limit_is_read_and_a_longer_one_is_unavailable(client: HTTPSClient, path: str) -> None:
    assert len(client.request("GET", "/exact").body) == MAX_BYTES
    with pytest.raises(APIUnavailable, match="more than 1000 bytes"):
        client.request("GET", path)
    assert client.request("GET", "/echo").status == 200


def impatient(endpoint: Endpoint) -> HTTPSClient:
    return HTTPSClient(endpoint, Limits(connections=1, connect_timeout=2, read_timeout=0.7, max_bytes=MAX_BYTES))


@pytest.mark.parametrize("part", BEGINNINGS)
def test_reply_byte_by_byte_is_unavailable_after_the_time_for_the_whole(endpoint: Endpoint, part: str) -> None:
    client = impatient(endpoint)
    with within(2), pytest.raises(APIUnavailable, match=r"no reply .*timed out"):
        client.request("GET", f"/drip/{part}")
    assert client.request("GET", "/echo").status == 200


def test_each_reply_on_a_kept_connection_has_the_whole_time(endpoint: Endpoint) -> None:
    client = impatient(endpoint)
    Handler.peers.clear()
    assert [client.request("GET", "/slow").body for _ in range(3)] == [b"1" * 8] * 3
    assert len({*Handler.peers}) == 1


def test_redirect_is_not_followed(client: HTTPSClient) -> None:
    reply = client.request("GET", "/moved")
    assert (reply.status, reply.headers["location"]) == (302, "/exact")


def test_problem_document_is_raised_with_slug_and_reason(client: HTTPSClient) -> None:
    with pytest.raises(APIProblem, match="422 csr-refused: No") as refused:
        client.request("GET", "/problem")
    problem = refused.value
    assert (problem.status, problem.slug, problem.reason) == (422, "csr-refused", "csr-too-large")
    assert problem.document == PROBLEM


@pytest.mark.parametrize(("path", "status", "title"), [("/page", 502, "<html>Bad"), ("/list", 404, "[1]")])
def test_error_without_problem_document_is_internal(client: HTTPSClient, path: str, status: int, title: str) -> None:
    with pytest.raises(APIProblem) as refused:
        client.request("GET", path)
    assert (refused.value.status, refused.value.slug, refused.value.reason) == (status, "internal", "internal")
    assert str(refused.value.document["title"]).startswith(title)
    assert len(refused.value.document["title"]) <= 200


def test_nobody_listening_is_unavailable(endpoint: Endpoint) -> None:
    client = connect(Endpoint(url=f"https://{HOST}", address=("127.0.0.1", 1), ca_file=endpoint.ca_file))
    with pytest.raises(APIUnavailable, match="GET /echo: no reply"):
        client.request("GET", "/echo")


def test_server_of_another_name_is_unavailable(endpoint: Endpoint) -> None:
    client = connect(Endpoint(url="https://other.test", address=endpoint.address, ca_file=endpoint.ca_file))
    with pytest.raises(APIUnavailable, match=r"no reply .*other\.test"):
        client.request("GET", "/echo")


def test_client_without_certificate_is_unavailable(endpoint: Endpoint) -> None:
    client = connect(Endpoint(url=endpoint.url, address=endpoint.address, ca_file=endpoint.ca_file))
    with pytest.raises(APIUnavailable):
        client.request("GET", "/echo")


def test_certificate_of_an_unknown_ca_is_unavailable(endpoint: Endpoint, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(InsideCA.make("other", now=datetime.now(UTC)).pem)
    client = connect(Endpoint(url=endpoint.url, address=endpoint.address, ca_file=other))
    with pytest.raises(APIUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        client.request("GET", "/echo")
