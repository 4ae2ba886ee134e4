"""Validating resolver of one perspective. It caches nothing but the zone's keys, and asks one authoritative server."""

import time
from collections.abc import Callable
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataset
import dns.rdatatype
from dns.message import Message, QueryMessage
from dns.name import Name, root
from dns.rdatatype import DNSKEY, RdataType
from dns.rrset import RRset

from deploy.local.dns.authority import MAX_UDP, refused, response, wire
from deploy.local.dns.validation import Bogus, Validator

TIMEOUT: Final = 3.0
_KEYS_KEPT: Final = 60


class Resolver:
    """Resolver that trusts one key. Any thread may ask."""

    def __init__(
        self,
        authority: tuple[str, int],
        anchor: dns.rdataset.Rdataset,
        clock: Callable[[], float] = time.time,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        """Ask this server, and trust these keys of the root."""
        self._address, self._port = authority
        self._anchor, self._clock, self._timeout = anchor, clock, timeout
        self._keys: tuple[float, dns.rdataset.Rdataset] | None = None

    def answer(self, received: bytes, udp: bool) -> bytes | None:
        """Return the reply to a message: SERVFAIL for everything that does not validate; none to what is no query."""
        try:
            query = dns.message.from_wire(received)
        except (dns.exception.DNSException, ValueError):
            return refused(received, dns.rcode.FORMERR) if len(received) >= 12 and received[2] < 0x80 else None
        if query.flags & dns.flags.QR:
            return None
        reply = response(query, recursive=True)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1 or _unanswered(query.question[0].rdtype):
            reply.set_rcode(dns.rcode.NOTIMP)
        else:
            try:
                self._resolve(query, reply)
            except (Bogus, OSError, EOFError, dns.exception.DNSException):
                reply.answer, reply.authority = [], []
                reply.flags &= ~dns.flags.AD
                reply.set_rcode(dns.rcode.SERVFAIL)
        return wire(reply, query, udp=udp)

    def _resolve(self, query: Message, reply: Message) -> None:
        """Fill in what is proven; with the CD bit, what the authoritative server says.

        Raises Bogus, OSError, EOFError, DNSException.
        """
        question = query.question[0]
        found = self._ask(question.name, question.rdtype)
        shown = found.answer, found.authority
        if not query.flags & dns.flags.CD:
            validator = Validator(found, self._zone_keys(), self._clock())
            validator.validate(question.name, question.rdtype)
            shown = validator.answer, validator.authority
            if query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO:
                reply.flags |= dns.flags.AD
        reply.set_rcode(found.rcode())
        reply.answer, reply.authority = (_visible(each, query) for each in shown)

    def _zone_keys(self) -> dns.rdataset.Rdataset:
        """Return the zone's keys, as the trust anchor signed them. Raises Bogus."""
        now = self._clock()
        if self._keys is None or not 0 <= now - self._keys[0] < _KEYS_KEPT:
            validator = Validator(self._ask(root, DNSKEY), self._anchor, now)
            validator.validate(root, DNSKEY)
            self._keys = now, validator.answer[0].to_rdataset()
        return self._keys[1]

    def _ask(self, name: Name, kind: RdataType) -> Message:
        """Return the authoritative server's reply, by TCP if it does not fit. Raises DNSException, OSError."""
        question = QueryMessage()
        question.use_edns(0, dns.flags.DO, MAX_UDP)
        question.find_rrset(question.question, name, dns.rdataclass.IN, kind, create=True)
        found, _ = dns.query.udp_with_fallback(question, self._address, timeout=self._timeout, port=self._port)
        return found


def _unanswered(kind: RdataType) -> bool:
    return dns.rdatatype.is_metatype(kind) or kind == dns.rdatatype.RRSIG


def _visible(section: list[RRset], query: Message) -> list[RRset]:
    """Return a section as a client without the DO bit sees it: no signatures, no proofs."""
    if query.ednsflags & dns.flags.DO:
        return section
    hidden = {dns.rdatatype.RRSIG, dns.rdatatype.NSEC} - {query.question[0].rdtype}
    return [each for each in section if each.rdtype not in hidden]
