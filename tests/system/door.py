"""The system's doors as an attacker tries them: raw bytes through the gateway, and straight at a service's socket."""

import http.client
import json
import socket
import ssl
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.gateway.rules import DESK_HOST
from deploy.local.installation import Installation
from devtools.scenario.gateway_client import API_HOST, SIGN_IN_HOST

Header = tuple[str, str | bytes]
JSON: Final[Header] = ("Content-Type", "application/json")
_SECONDS: Final = 30
# What would tell an attacker how we are built.
_INSIDES: Final = (b"Traceback", b'File "', b"psycopg", b"werkzeug", b"gunicorn", b"/services/", b"SELECT ")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """Which problem it is. Fails for anything that is not a problem document as it must be."""
        assert self.headers.get("content-type", "").split(";")[0] == "application/problem+json", self
        assert self.status < 500 or self.status in (501, 503), self
        assert self.status >= 400, self
        assert not [inside for inside in _INSIDES if inside in self.body], self
        assert self.json["status"] == self.status
        assert self.json["title"]
        kind: str = self.json["type"]
        assert kind.startswith("urn:ecert:problem:")
        return kind.removeprefix("urn:ecert:problem:")

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and slug."""
        return self.status, self.slug


@dataclass(frozen=True, kw_only=True)
class Door:
    """Connections of one request each."""

    installation: Installation

    def send(self, raw: bytes, *, host: str = API_HOST, person: str | None = None) -> Reply:
        """Send these bytes to the gateway. Returns the first answer. `person` names a sample e-Cert or staff member."""
        pki = self.installation.pki
        context = ssl.create_default_context(cafile=pki.gateway / "root.pem")
        if person is not None:
            folder = pki.staff if host == DESK_HOST else pki.people
            context.load_cert_chain(folder / f"{person}.pem", folder / f"{person}.key")
        port = self.installation.ports.gateway
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.sendall(raw)
            return _first_answer(secure)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Iterable[Header] = (),
        body: bytes = b"",
        host: str = API_HOST,
        person: str | None = None,
    ) -> Reply:
        """Return one request, its parts put together without looking at them."""
        return self.send(_request(method, path, headers, body, host), host=host, person=person)

    def sign_in(self, person: str | None, *headers: Header, body: bytes = b"") -> Reply:
        """Send POST /tokens on the sign-in host."""
        return self.ask("POST", "/identity/v1/tokens", headers=headers, body=body, host=SIGN_IN_HOST, person=person)

    def post(self, path: str, body: Any, token: str, *headers: Header, key: str | None = None) -> Reply:
        """Send a signed-in POST of JSON, or of raw bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = [JSON, ("Idempotency-Key", key or uuid.uuid4().hex), *headers]
        return self.ask("POST", path, headers=[*signed_in(token), *named], body=raw)

    def get(self, path: str, token: str) -> Reply:
        """Send a signed-in GET."""
        return self.ask("GET", path, headers=signed_in(token))

    def straight(
        self, service: str, method: str, path: str, headers: Iterable[Header] = (), body: bytes = b""
    ) -> Reply:
        """Send a request past the gateway, to the service's own socket: possible for the system's own user alone."""
        return self._at(self.installation.gateway.socket(service), method, path, headers, body)

    def operate(self, service: str, method: str, path: str, headers: Iterable[Header] = (), body: bytes = b"") -> Reply:
        """Send a request past the desk, to the service's operator API."""
        return self._at(self.installation.operators_socket(service), method, path, headers, body)

    def _at(self, address: Path, method: str, path: str, headers: Iterable[Header], body: bytes) -> Reply:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(address))
            connection.sendall(_request(method, path, headers, body, "localhost"))
            return _first_answer(connection)


def signed_in(token: str) -> list[Header]:
    """Return the header that carries an access token."""
    return [("Authorization", f"Bearer {token}")]


def _request(method: str, path: str, headers: Iterable[Header], body: bytes, host: str) -> bytes:
    length = [("Content-Length", str(len(body)))] if body or method == "POST" else []
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1")]
    for name, value in [("Host", host), ("Connection", "close"), *headers, *length]:
        lines.append(name.encode("latin-1") + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _first_answer(connection: socket.socket) -> Reply:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(status=answer.status, headers=headers, body=answer.read())
