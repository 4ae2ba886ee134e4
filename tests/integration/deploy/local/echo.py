"""A service behind the gateway that answers what arrived, and a client that asks through the gateway."""

import base64
import contextlib
import http.client
import json
import socket
import socketserver
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from tests.support.servers import serving

_NODE: Final = Path(sys.executable).parent / "node"
_HTTP2: Final = Path(__file__).with_name("http2.cjs")
_SECONDS: Final = 20


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.endswith("/silent"):
            self.rfile.read(1)  # nothing comes: it ends when the gateway lets go
            return
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        answer = json.dumps({"path": self.path, "headers": headers, "length": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_BREW = _answer  # noqa: N815 (the names the base class looks for)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def echoing(path: Path) -> Iterator[None]:
    """Run a server on this Unix socket until the block ends."""
    server = _Server(str(path), _Echo)
    with serving(server):
        yield


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def sent(self, name: str) -> list[str]:
        """Return the values of a header as the service got it."""
        return [value for header, value in self.json["headers"] if header == name]


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks the gateway on loopback under a public name."""

    port: int
    root: Path
    # Of the plain host.
    plain_port: int = 0
    # Envoy's.
    process: int = 0
    http2: bool = False

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
        """Return one request on a connection of its own; `certificate` lies beside its key.

        Raises ConnectionError or ssl.SSLError when nothing is answered.
        """
        if self.http2:
            asked = {"host": host, "path": path, "method": method, "headers": headers or {}, "sni": sni or host}
            if certificate is not None:
                asked |= {"certificate": str(certificate), "key": str(certificate.with_suffix(".key"))}
            return self._ask_http2({**asked, "length": len(body or b"")})
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

    def ask_and_never_end(self, host: str, path: str) -> Answer:
        """Return a POST whose body has a beginning alone."""
        if self.http2:
            asked = {"host": host, "path": path, "method": "POST", "headers": {}, "sni": host, "length": 10}
            return self._ask_http2({**asked, "unfinished": True})
        return self.ask(host, path, method="POST", headers={"content-length": "1000"}, body=b"x" * 10)

    def _ask_http2(self, asked: Mapping[str, object]) -> Answer:
        """Send a request with another client: Python's standard library speaks HTTP/1.1 only. A body is all x."""
        told = json.dumps({**asked, "port": self.port, "root": str(self.root), "seconds": _SECONDS})
        run = subprocess.run([_NODE, _HTTP2], input=told, capture_output=True, text=True, check=True, timeout=60)
        answer = json.loads(run.stdout)
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return Answer(status=answer["status"], headers=answer["headers"], body=base64.b64decode(answer["body"]))
