"""Stub of a validating resolver: one question at a time, by UDP and, for a long answer, by TCP.

The resolver validates (DNSSEC) and says so with the AD flag; the way to it is trusted: it runs beside this process. CD
is never set for an answer that counts.
"""

import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType

from shared.pki.observations import Reason
from shared.settings import Address

# UDP is repeated after this many seconds without an answer.
_UDP_TIMEOUT: Final = 3.0
# No fragmentation on any usual path (DNS flag day 2020).
_UDP_PAYLOAD: Final = 1232
_MAX_MESSAGE: Final = 65_535
_HEADER: Final = struct.Struct("!HHHHHH")
# More records than any answer within our limits has; a longer one is not parsed.
_MAX_ANSWERS: Final = 128
_MAX_CHAIN: Final = 8
_PROBE_TIMEOUT: Final = 5.0


class LookupFailed(Exception):
    """A question without an answer, for a reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer to a question; `rrset` is None if there are no such records.

    `owner` is where the chain of CNAME records ends, `ttl` the lowest of the chain and the records, in seconds.
    `secure` says that the resolver validated the whole answer, also one of no records.
    """

    rrset: dns.rrset.RRset | None
    owner: dns.name.Name
    ttl: int
    secure: bool


@dataclass(frozen=True)
class Resolver:
    """A validating resolver at an IP address and port."""

    address: Address

    def resolve(self, name: dns.name.Name, kind: RdataType, deadline: float) -> Answer:
        """Return the records of this name, CNAME and DNAME followed by the resolver; `deadline` is monotonic time.

        Raises LookupFailed.
        """
        message = self._ask(name, kind, deadline)
        rcode = message.rcode()
        if rcode == dns.rcode.SERVFAIL:
            raise LookupFailed(self._why_servfail(name, kind, deadline))
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise LookupFailed(Reason.DNS_REFUSED)
        return _follow(message, name, kind)

    def validates(self) -> bool:
        """Return whether the resolver answers and validates: the root zone is always signed."""
        try:
            return self.resolve(dns.name.root, RdataType.SOA, time.monotonic() + _PROBE_TIMEOUT).secure
        except LookupFailed:
            return False

    def _why_servfail(self, name: dns.name.Name, kind: RdataType, deadline: float) -> Reason:
        """Return whether validation failed: only then is there a whole answer without it (CD), which nobody uses."""
        try:
            message = self._ask(name, kind, deadline, checking=False)
            answer = _follow(message, name, kind)
        except LookupFailed as failed:
            return Reason.CHAIN if failed.reason is Reason.CHAIN else Reason.SERVFAIL
        denied = any(rrset.rdtype == RdataType.SOA for rrset in message.authority)
        return Reason.SERVFAIL if answer.rrset is None and not denied else Reason.BOGUS

    def _ask(
        self, name: dns.name.Name, kind: RdataType, deadline: float, *, checking: bool = True
    ) -> dns.message.Message:
        """Return the resolver's reply. Raises LookupFailed."""
        flags = dns.flags.RD | dns.flags.AD | (0 if checking else dns.flags.CD)
        query = dns.message.make_query(name, kind, flags=flags, use_edns=0, payload=_UDP_PAYLOAD)
        try:
            wire = self._exchange(query, deadline)
        except TimeoutError as error:
            raise LookupFailed(Reason.DNS_TIMEOUT) from error
        except (OSError, EOFError) as error:
            raise LookupFailed(Reason.SERVFAIL) from error
        if _HEADER.unpack_from(wire)[3] > _MAX_ANSWERS:
            raise LookupFailed(Reason.RECORDS)
        try:
            reply = dns.message.from_wire(wire, question_only=False, raise_on_truncation=True)
        except (dns.exception.DNSException, ValueError) as error:
            raise LookupFailed(Reason.DNS_MALFORMED) from error
        if not query.is_response(reply):
            raise LookupFailed(Reason.DNS_MALFORMED)
        return reply

    def _exchange(self, query: dns.message.Message, deadline: float) -> bytes:
        """Return the bytes of the reply with the query's id. Raises TimeoutError, OSError, EOFError."""
        while True:
            query.id = secrets.randbelow(1 << 16)
            wire = query.to_wire()
            try:
                reply = self._udp(wire, min(deadline, time.monotonic() + _UDP_TIMEOUT))
            except TimeoutError:
                _left(deadline)
                continue
            return self._tcp(wire, deadline) if _HEADER.unpack_from(reply)[1] & dns.flags.TC else reply

    def _udp(self, wire: bytes, deadline: float) -> bytes:
        # Connected: the kernel takes datagrams from the resolver's address and port only.
        with socket.socket(_family(self.address), socket.SOCK_DGRAM) as sock:
            sock.connect(self.address)
            sock.settimeout(_left(deadline))
            sock.send(wire)
            while True:
                sock.settimeout(_left(deadline))
                reply = sock.recv(_MAX_MESSAGE)
                if len(reply) >= _HEADER.size and reply[:2] == wire[:2]:
                    return reply

    def _tcp(self, wire: bytes, deadline: float) -> bytes:
        with socket.create_connection(self.address, timeout=_left(deadline)) as sock:
            sock.sendall(struct.pack("!H", len(wire)) + wire)
            (length,) = struct.unpack("!H", _read(sock, 2, deadline))
            reply = _read(sock, length, deadline)
        if len(reply) < _HEADER.size or reply[:2] != wire[:2]:
            raise EOFError("no reply to this query")
        return reply


def _read(sock: socket.socket, length: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < length:
        sock.settimeout(_left(deadline))
        part = sock.recv(length - len(found))
        if not part:
            raise EOFError("connection closed")
        found += part
    return bytes(found)


def _left(deadline: float) -> float:
    """Return the seconds left. Raises TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def _follow(message: dns.message.Message, name: dns.name.Name, kind: RdataType) -> Answer:
    """Return the records at the end of the answer's chain of CNAME records. Raises LookupFailed.

    The resolver writes out DNAME records as CNAME records.
    """
    owner = name
    ttls: list[int] = []
    secure = bool(message.flags & dns.flags.AD)
    for _ in range(_MAX_CHAIN + 1):
        rrset = _find(message, owner, kind)
        if rrset is not None:
            return Answer(rrset=rrset, owner=owner, ttl=min([*ttls, rrset.ttl]), secure=secure)
        alias = _find(message, owner, RdataType.CNAME)
        if alias is None:
            return Answer(rrset=None, owner=owner, ttl=0, secure=secure)
        ttls.append(alias.ttl)
        owner = alias[0].target
    raise LookupFailed(Reason.CHAIN)


def _find(message: dns.message.Message, owner: dns.name.Name, kind: RdataType) -> dns.rrset.RRset | None:
    found = [
        each
        for each in message.answer
        if each.name == owner and each.rdtype == kind and each.rdclass == dns.rdataclass.IN
    ]
    if len(found) > 1 or (found and kind == RdataType.CNAME and len(found[0]) > 1):
        raise LookupFailed(Reason.DNS_MALFORMED)
    return found[0] if found else None
