"""Client of the services' operator APIs, over a Unix socket or over a network with mutual TLS."""

import http.client
import json
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog

from backoffice.desk.roles import Action
from backoffice.desk.staff import Member
from shared.errors import Unavailable
from shared.operators.staff import Staff, token
from shared.security.tokens import SigningKey
from shared.tx import Clock, utc_now

log = structlog.get_logger()

TIMEOUT_SECONDS: Final = 20.0
# Timeout of reading requests. The overview asks every service in turn and must answer before the gateway's timeout.
READ_TIMEOUT_SECONDS: Final = 4.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_UNIX: Final = "unix:"


class OperatorAPIUnavailable(Unavailable):
    """An operator API is unavailable; the requested action may have been done."""

    reason = "operators-away"


class Refusal(Exception):
    """A service's refusal: `slug` is its problem type, `detail` its explanation."""

    def __init__(self, status: int, slug: str, title: str, detail: str | None) -> None:
        super().__init__(f"{slug}: {detail or title}")
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Network:
    """TLS of the connections to services: the desk's certificate and the accepted CAs."""

    ca_file: Path
    certificate_file: Path
    key_file: Path

    def context(self) -> ssl.SSLContext:
        """Return a TLS context. The files are read for each connection, so a renewed certificate needs no restart."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


@dataclass(frozen=True, kw_only=True)
class Operators:
    """The operator APIs by address: `unix:/path`, or `https://host:port` with `network`."""

    addresses: Mapping[str, str]
    key: SigningKey
    network: Network | None = None
    clock: Clock = utc_now
    look_seconds: float = READ_TIMEOUT_SECONDS

    def get(self, service: str, path: str, action: Action, member: Member, **query: str | int) -> Any:
        """Return the answer to a reading request. Raises Refusal or OperatorAPIUnavailable."""
        asked = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return self._ask("GET", service, asked, action, member)

    def post(self, service: str, path: str, action: Action, member: Member, *, key: str, **body: Any) -> Any:
        """Perform an action once for this idempotency key and return the answer.

        Raises Refusal or OperatorAPIUnavailable.
        """
        return self._ask("POST", service, path, action, member, key=key, body=json.dumps(body).encode())

    def _ask(
        self,
        method: str,
        service: str,
        path: str,
        action: Action,
        member: Member,
        *,
        key: str | None = None,
        body: bytes | None = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._word(service, action, member, self.clock())}", "Host": service}
        if key is not None:
            headers |= {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            connection = self._connect(service, self.look_seconds if key is None else TIMEOUT_SECONDS)
            try:
                connection.request(method, f"/operator/v1/{path}", body=body, headers=headers)
                response = connection.getresponse()
                status, content = response.status, response.read(MAX_ANSWER_BYTES)
            finally:
                connection.close()
            answer = json.loads(content) if content else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.warning("operators.unavailable", service=service, error=f"{type(error).__name__}: {error}")
            raise OperatorAPIUnavailable(service) from error
        return _judged(service, status, answer)

    def _word(self, service: str, action: Action, member: Member, now: datetime) -> str:
        staff = Staff(id=member.id, name=member.name, certificate_sha256=member.certificate_sha256)
        return token(staff, service=service, action=action, key=self.key, now=now)

    def _connect(self, service: str, seconds: float) -> http.client.HTTPConnection:
        address = self.addresses[service]
        if address.startswith(_UNIX):
            return _UnixConnection(address.removeprefix(_UNIX), seconds)
        assert self.network is not None
        parts = urllib.parse.urlsplit(address)
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=seconds, context=self.network.context()
        )


def _judged(service: str, status: int, answer: Any) -> Any:
    if status < HTTPStatus.BAD_REQUEST:
        return answer
    if not isinstance(answer, dict) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("operators.failed", service=service, status=status)
        raise OperatorAPIUnavailable(service)
    slug = str(answer.get("type", "")).rpartition(":")[2]
    raise Refusal(status, slug, str(answer.get("title", "")), answer.get("detail"))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)
