"""A service behind the gateway that answers what arrived, and a client that asks through the gateway."""

import contextlib
import http.client
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        answer = json.dumps({"path": self.path, "headers": headers, "length": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _answer  # noqa: N815 (the names the base class looks for)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def echoing(path: Path) -> Iterator[None]:
    """A server on this Unix socket, for as long as the block lasts."""
    with _Server(str(path), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def sent(self, name: str) -> list[str]:
        """The values of a header as the service got it."""
        return [value for header, value in self.json["headers"] if header == name]


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks the gateway on loopback under a public name."""

    port: int
    root: Path

    def ask(
        self,
        host: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        certificate: Path | None = None,
        sni: str | None = None,
    ) -> Answer:
        """One request on a connection of its own; `certificate` lies beside its key."""
        context = ssl.create_default_context(cafile=self.root)
        if certificate is not None:
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=sni or host) as secure,
        ):
            connection = http.client.HTTPConnection(host)
            connection.sock = secure
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=fields, body=response.read())
