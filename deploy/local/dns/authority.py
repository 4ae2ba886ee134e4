"""Authoritative server of the root zone: answers with proofs, and applies signed updates (RFC 2136)."""

import threading
from collections.abc import Mapping
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.tsig
import dns.update
from dns.message import Message
from dns.name import Name, root
from dns.rdatatype import AAAA, ANY, CAA, CNAME, SOA, TXT, A
from dns.rrset import RRset

from deploy.local.dns.zone import SignedZone

# Largest reply over UDP: no fragments (RFC 9715).
MAX_UDP: Final = 1232
MAX_CHAIN: Final = 8
MAX_NAMES: Final = 10_000
_UPDATED: Final = frozenset({A, AAAA, CAA, CNAME, TXT})


def response(query: Message, *, recursive: bool = False) -> Message:
    """Return an empty reply, with the query's DO bit (RFC 3225, 3)."""
    reply = dns.message.make_response(query, recursion_available=recursive, our_payload=MAX_UDP)
    if query.edns >= 0:
        reply.want_dnssec(bool(query.ednsflags & dns.flags.DO))
    return reply


def wire(reply: Message, query: Message, *, udp: bool) -> bytes:
    """Return the reply as bytes, with the TC bit if it is too long for UDP."""
    most = (min(max(query.payload, 512), MAX_UDP) if query.edns >= 0 else 512) if udp else 65_535
    return reply.to_wire(max_size=most, prefer_truncation=True)


def refused(received: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Return a header without any section, for what cannot be answered otherwise."""
    return received[:2] + bytes((0x80 | (received[2] & 0x78), rcode)) + bytes(8)


class Authority:
    """The zone behind a socket. Any thread may ask."""

    def __init__(self, zone: SignedZone, keys: Mapping[Name, dns.tsig.Key]) -> None:
        """Serve the zone, and accept updates that are signed with one of these keys."""
        self._zone, self._keys, self._lock = zone, dict(keys), threading.Lock()

    def answer(self, received: bytes, udp: bool) -> bytes | None:
        """Return the reply to a message; none to what is no query."""
        try:
            query = dns.message.from_wire(received, keyring=self._keys)
        except (dns.message.UnknownTSIGKey, dns.tsig.BadTime, dns.tsig.BadSignature, dns.tsig.PeerError):
            return refused(received, dns.rcode.NOTAUTH)
        except (dns.exception.DNSException, ValueError):
            return refused(received, dns.rcode.FORMERR) if len(received) >= 12 and received[2] < 0x80 else None
        if query.flags & dns.flags.QR:
            return None
        with self._lock:
            reply = response(query)
            if isinstance(query, dns.update.UpdateMessage):
                reply.set_rcode(self._update(query))
            elif query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
                reply.set_rcode(dns.rcode.NOTIMP)
            else:
                self._fill(reply, query.question[0])
        return wire(reply, query, udp=udp)

    def _fill(self, reply: Message, question: RRset) -> None:
        """Add the answer, or the proof that there is none (RFC 4035, 3.1.3)."""
        if question.rdtype == ANY or dns.rdatatype.is_metatype(question.rdtype):
            reply.set_rcode(dns.rcode.NOTIMP)
            return
        reply.flags |= dns.flags.AA
        name = question.name
        for _ in range(MAX_CHAIN):
            found = self._zone.find(name, question.rdtype)
            alias = None if found is not None else self._zone.find(name, CNAME)
            if (shown := found or alias) is None:
                self._deny(reply, name)
            else:
                self._add(reply, reply.answer, shown)
            if alias is None:
                return
            name = alias[0].target

    def _deny(self, reply: Message, name: Name) -> None:
        soa = self._zone.find(root, SOA)
        assert soa is not None
        self._add(reply, reply.authority, soa)
        proofs = [self._zone.denial(name)]
        if not self._zone.contains(name):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            closest = next(each for each in _above(name) if self._zone.contains(each))
            proofs.append(self._zone.denial(dns.name.Name((b"*", *closest.labels))))
        if reply.ednsflags & dns.flags.DO:
            for proof in {each.name: each for each in proofs}.values():
                self._add(reply, reply.authority, proof)

    def _add(self, reply: Message, section: list[RRset], rrset: RRset) -> None:
        section.append(rrset)
        if reply.ednsflags & dns.flags.DO:
            section.append(self._zone.signature(rrset))

    def _update(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """Apply all changes or none. Prerequisites, wildcards and other types of record are refused."""
        if not update.had_tsig:
            return dns.rcode.REFUSED
        if update.zone[0].name != root or update.zone[0].rdclass != dns.rdataclass.IN:
            return dns.rcode.NOTZONE
        if update.prerequisite:
            return dns.rcode.NOTIMP
        for change in update.update:
            deletes_name = change.deleting == dns.rdataclass.ANY and change.rdtype == ANY
            if change.name == root or change.name.is_wild() or not (deletes_name or change.rdtype in _UPDATED):
                return dns.rcode.REFUSED
        if len(self._zone.records.nodes) + len(update.update) > MAX_NAMES:
            return dns.rcode.REFUSED
        for change in update.update:
            self._change(change)
        self._zone.save()
        return dns.rcode.NOERROR

    def _change(self, change: RRset) -> None:
        """Apply one change (RFC 2136, 3.4.2); a CNAME beside other records is ignored, as is their addition to one."""
        records, name, kind = self._zone.records, change.name, change.rdtype
        if change.deleting == dns.rdataclass.ANY:
            if kind == ANY:
                records.delete_node(name)
            else:
                records.delete_rdataset(name, kind)
        elif change.deleting == dns.rdataclass.NONE:
            if (left := records.get_rdataset(name, kind)) is not None:
                left.discard(change[0])  # type: ignore[no-untyped-call]  # dnspython's sets are untyped
                if not left:
                    records.delete_rdataset(name, kind)
        elif all((each.rdtype == CNAME) == (kind == CNAME) for each in records.get_node(name) or ()):
            records.find_rdataset(name, kind, create=True).add(change[0], change.ttl)


def _above(name: Name) -> list[Name]:
    """Return the names above this one, nearest first."""
    return [dns.name.Name(name.labels[n:]) for n in range(1, len(name.labels))]
