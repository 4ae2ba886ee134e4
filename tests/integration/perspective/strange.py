"""DNS servers that do what no good server does: silence, refusals, garbage, floods, and an answer that changes."""

import contextlib
import socketserver
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdatatype import RdataType

from deploy.local.waiting import free_port
from tests.support.servers import serving

# What is sent for a query: nothing, or bytes. `tcp` says by which road it came.
Behaviour = Callable[[dns.message.Message, bool], bytes | None]


def _silent(query: dns.message.Message, tcp: bool) -> bytes | None:
    return None


def _with_rcode(rcode: dns.rcode.Rcode) -> Behaviour:
    def behave(query: dns.message.Message, tcp: bool) -> bytes | None:
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        return reply.to_wire()

    return behave


def _lame(query: dns.message.Message, tcp: bool) -> bytes | None:
    """Answer without authority, with a referral to the root."""
    reply = dns.message.make_response(query)
    reply.authority.append(dns.rrset.from_text(".", 300, "IN", "NS", "ns.hk."))
    return reply.to_wire()


def _garbage(query: dns.message.Message, tcp: bool) -> bytes | None:
    return query.to_wire()[:2] + b"\x84\x00" + b"\xff" * 60


def _other_id(query: dns.message.Message, tcp: bool) -> bytes | None:
    reply = _answer(query, dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", '"forged"'))
    reply.id ^= 1
    return reply.to_wire()


def _other_question(query: dns.message.Message, tcp: bool) -> bytes | None:
    reply = _answer(query, dns.rrset.from_text("elsewhere.hk.", 60, "IN", "TXT", '"forged"'))
    reply.question = [dns.rrset.from_text("elsewhere.hk.", 0, "IN", "TXT")]
    return reply.to_wire()


def _flood(query: dns.message.Message, tcp: bool) -> bytes | None:
    """Announce a long answer by UDP, 64 KB by TCP, and go on sending for 10 MB."""
    if tcp:
        return struct.pack("!H", 65_535) + query.to_wire()[:2] + b"\x84\x00" + b"x" * 10_000_000
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.TC | dns.flags.AA
    return reply.to_wire()


def _drip(query: dns.message.Message, tcp: bool) -> bytes | None:
    """Announce a long answer by UDP, and never finish it by TCP."""
    if tcp:
        return struct.pack("!H", 1000) + query.to_wire()[:2]
    return _flood(query, tcp)


def _answer(query: dns.message.Message, *rrsets: dns.rrset.RRset) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    reply.answer.extend(rrsets)
    return reply


@dataclass
class Rebinding:
    """A name whose address is another one at each query; the TTL is 0."""

    addresses: tuple[str, ...]
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, query: dns.message.Message, tcp: bool) -> bytes | None:
        question = query.question[0]
        if question.rdtype != RdataType.A:
            return _answer(query).to_wire()
        name = str(question.name)
        address = self.addresses[self.asked[name] % len(self.addresses)]
        self.asked[name] += 1
        return _answer(query, dns.rrset.from_text(question.name, 0, "IN", "A", address)).to_wire()


REBINDING: Final = Rebinding(("127.0.1.1", "127.0.0.1"))
BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "silent": _silent,
    "refusing": _with_rcode(dns.rcode.REFUSED),
    "failing": _with_rcode(dns.rcode.SERVFAIL),
    "not-implementing": _with_rcode(dns.rcode.NOTIMP),
    "lame": _lame,
    "garbage": _garbage,
    "other-id": _other_id,
    "other-question": _other_question,
    "flood": _flood,
    "drip": _drip,
    "rebinding": REBINDING,
}


class _UDP(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        content, sock = self.request
        reply = self.server.behaviour(dns.message.from_wire(content), False)  # type: ignore[attr-defined]  # set by strange_server
        if reply is not None:
            sock.sendto(reply, self.client_address)


class _TCP(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError, EOFError, struct.error):
            self.request.settimeout(5)
            (length,) = struct.unpack("!H", self.request.recv(2))
            query = dns.message.from_wire(self.request.recv(length))
            behaviour: Any = self.server.behaviour  # type: ignore[attr-defined]  # as above
            reply = behaviour(query, True)
            if reply is None:
                return
            self.request.sendall(reply if behaviour in (_flood, _drip) else struct.pack("!H", len(reply)) + reply)
            self.request.recv(1)


@contextlib.contextmanager
def strange_server(behaviour: Behaviour) -> Iterator[int]:
    """Serve on the loopback address, by UDP and TCP on one port. Yields the port."""
    with contextlib.ExitStack() as running:
        port = free_port()
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", port), _UDP)
        tcp = socketserver.ThreadingTCPServer(("127.0.0.1", port), _TCP)
        for server in (udp, tcp):
            server.daemon_threads = True
            server.block_on_close = False
            vars(server)["behaviour"] = behaviour
            running.enter_context(serving(server))
        yield port
