"""Fetcher of the agreed-upon file (BR 3.2.2.4.18): HTTP with every address, port, redirect, size and time checked.

Names are resolved here and nowhere else, and the connection goes to the very address that was checked: a second
resolution could lead to another one (rebinding). Certificates are not verified on HTTPS redirects: see the decision
"Fetch validation files without trusting the server's certificate".
"""

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import dns.name
from dns.rdatatype import RdataType

from perspective.addresses import IPAddress, IPNetwork, is_permitted
from perspective.resolver import LookupFailed, Resolver
from shared.pki.observations import MAX_TEXT, Kind, Observation, Outcome, Question, Reason, printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILE_PATH: Final = "/.well-known/pki-validation/ecert.txt"
MAX_REDIRECTS: Final = 10
MAX_BODY_BYTES: Final = 4096
# Beyond the body, for status line, headers and the framing of chunks.
MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_TARGET: Final = 2048
_MAX_ADDRESSES: Final = 16
# Addresses of one host that are tried, one after the other, and the seconds for each.
_TRIED_ADDRESSES: Final = 3
_CONNECT_TIMEOUT: Final = 3.0
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_GONE: Final = frozenset({404, 410})
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*")
_TARGET: Final = re.compile(r"[!-~]+")
_USER_AGENT: Final = "ecert-domain-validation/1"


@dataclass(frozen=True, kw_only=True)
class LocalAccess:
    """Exceptions of a local system or a test: other ports in place of 80 and 443, and networks of its own."""

    ports: Mapping[int, int]
    networks: Sequence[IPNetwork] = ()


NO_LOCAL_ACCESS: Final = LocalAccess(ports={})


@dataclass(frozen=True, kw_only=True)
class _Target:
    """A checked URL: `target` is its path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.target}"

    @property
    def authority(self) -> str:
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class _Page:
    status: int
    location: str | None
    body: bytes
    address: IPAddress


class Fetcher:
    """Fetcher by a resolver's answers."""

    def __init__(self, resolver: Resolver, local: LocalAccess = NO_LOCAL_ACCESS) -> None:
        self._resolver = resolver
        self._local = local
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def fetch(self, question: Question, deadline: float) -> Observation:
        """Return the observation of a name's file; `deadline` is monotonic time, for all redirects together.

        Raises LookupFailed.
        """
        target = _Target(scheme="http", host=question.name, port=80, target=FILE_PATH)
        secure = True
        for _ in range(MAX_REDIRECTS + 1):
            addresses, validated = self._addresses(target.host, deadline)
            secure = secure and validated
            page = self._get(target, addresses, deadline)
            if page.location is None:
                return _observation(question, page, secure)
            target = _redirected(target, page.location)
        raise LookupFailed(Reason.REDIRECTS)

    def _addresses(self, host: str, deadline: float) -> tuple[list[IPAddress], bool]:
        """Return a host's addresses, each of them permitted, and whether DNSSEC secures them. Raises LookupFailed."""
        name = dns.name.from_text(host)
        for kind in (RdataType.A, RdataType.AAAA):
            answer = self._resolver.resolve(name, kind, deadline)
            found = [ip_address(rdata.address) for rdata in answer.rrset or ()]
            if len(found) > _MAX_ADDRESSES:
                raise LookupFailed(Reason.RECORDS)
            if not all(is_permitted(address, self._local.networks) for address in found):
                raise LookupFailed(Reason.ADDRESS)
            if found:
                return found, answer.secure
        raise LookupFailed(Reason.UNRESOLVED)

    def _get(self, target: _Target, addresses: Sequence[IPAddress], deadline: float) -> _Page:
        """Return the page of the first address that takes a connection. Raises LookupFailed."""
        sock, address = self._connect(target, addresses, deadline)
        with sock:
            try:
                if target.scheme == "https":
                    sock.settimeout(_left(deadline))
                    sock = self._tls.wrap_socket(sock, server_hostname=target.host)
                with sock:
                    return _exchange(sock, target, address, deadline)
            except TimeoutError as error:
                raise LookupFailed(Reason.FETCH_TIMEOUT) from error
            except OSError as error:
                raise LookupFailed(Reason.CONNECTION) from error
            except (http.client.HTTPException, ValueError) as error:
                raise LookupFailed(Reason.HTTP_MALFORMED) from error

    def _connect(
        self, target: _Target, addresses: Sequence[IPAddress], deadline: float
    ) -> tuple[socket.socket, IPAddress]:
        port = self._local.ports.get(target.port, target.port)
        for address in addresses[:_TRIED_ADDRESSES]:
            timeout = min(deadline - time.monotonic(), _CONNECT_TIMEOUT)
            if timeout <= 0:
                break
            try:
                return socket.create_connection((str(address), port), timeout=timeout), address
            except OSError:
                continue
        raise LookupFailed(Reason.CONNECTION if time.monotonic() < deadline else Reason.FETCH_TIMEOUT)


class _Limited(io.RawIOBase):
    """Bytes of a socket, within a budget of bytes and until a deadline, however slowly they come."""

    def __init__(self, sock: socket.socket, most: int, deadline: float) -> None:
        self._sock = sock
        self._left = most
        self._deadline = deadline

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read some bytes. Raises TimeoutError, and LookupFailed beyond the budget."""
        if self._left <= 0:
            raise LookupFailed(Reason.SIZE)
        self._sock.settimeout(_left(self._deadline))
        count = self._sock.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


class _Readable:
    """Socket as http.client reads it."""

    def __init__(self, raw: _Limited) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BufferedReader:
        """Return the bytes of the answer. A small buffer, so that the budget of the head is kept."""
        return io.BufferedReader(self._raw, 1024)


def _exchange(sock: socket.socket, target: _Target, address: IPAddress, deadline: float) -> _Page:
    """Send the request and return the page. Raises LookupFailed, OSError, HTTPException and ValueError."""
    head = (
        f"GET {target.target} HTTP/1.1\r\nHost: {target.authority}\r\nUser-Agent: {_USER_AGENT}\r\n"
        "Accept: text/plain, */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    sock.settimeout(_left(deadline))
    sock.sendall(head.encode("ascii"))
    raw = _Limited(sock, MAX_HEAD_BYTES + MAX_BODY_BYTES, deadline)
    response = http.client.HTTPResponse(_Readable(raw), method="GET")  # type: ignore[arg-type]  # it only reads
    try:
        response.begin()
        if response.status in _REDIRECTS:
            if not (location := _one(response, "Location")):
                raise LookupFailed(Reason.HTTP_MALFORMED)
            return _Page(status=response.status, location=location, body=b"", address=address)
        # Only the body of a good answer counts.
        body = response.read(MAX_BODY_BYTES + 1) if 200 <= response.status < 300 else b""
    finally:
        response.close()
    if len(body) > MAX_BODY_BYTES:
        raise LookupFailed(Reason.SIZE)
    if _one(response, "Content-Encoding").lower() not in ("", "identity"):
        raise LookupFailed(Reason.HTTP_MALFORMED)
    return _Page(status=response.status, location=None, body=body, address=address)


def _one(response: http.client.HTTPResponse, header: str) -> str:
    """Return the value of a header that comes once, empty without one. Raises LookupFailed."""
    found = response.headers.get_all(header, [])
    if len(found) > 1:
        raise LookupFailed(Reason.HTTP_MALFORMED)
    return str(found[0]).strip() if found else ""


def _redirected(target: _Target, location: str) -> _Target:
    """Return where a redirect leads: a name, by HTTP or HTTPS, at port 80 or 443. Raises LookupFailed."""
    try:
        parts = urlsplit(urljoin(target.url, location))
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as error:
        raise LookupFailed(Reason.REDIRECT) from error
    wanted = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if (
        parts.scheme not in _PORTS
        or (port or _PORTS[parts.scheme]) not in _PORTS.values()
        or "@" in parts.netloc
        or not _HOST.fullmatch(host)
        # The last label of a name has a letter; 127.1 and 2130706433 are addresses to some.
        or host.rpartition(".")[2].isdecimal()
        or len(wanted) > _MAX_TARGET
        or not _TARGET.fullmatch(wanted)
    ):
        raise LookupFailed(Reason.REDIRECT)
    return _Target(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], target=wanted)


def _observation(question: Question, page: _Page, secure: bool) -> Observation:
    seen = partial(Observation, kind=Kind.FILE, name=question.name, secure=secure, address=str(page.address))
    if page.status in _GONE:
        return seen(outcome=Outcome.ABSENT)
    if not 200 <= page.status < 300:
        raise LookupFailed(Reason.STATUS)
    text = printable(page.body)
    if len(text) > MAX_TEXT:
        raise LookupFailed(Reason.SIZE)
    return seen(outcome=Outcome.FOUND, values=(text,))


def _left(deadline: float) -> float:
    """Return the seconds left. Raises TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
