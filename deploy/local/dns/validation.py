"""Validation of a reply from the signed root zone (RFC 4035, 5): signatures of what is there, proofs of what is not."""

from collections.abc import Sequence
from typing import Final

import dns.dnssec
import dns.exception
import dns.name
import dns.rcode
import dns.rdataset
from dns.message import Message
from dns.name import Name, root
from dns.rdatatype import CNAME, DNAME, NONE, NS, NSEC, RRSIG, SOA, RdataType
from dns.rrset import RRset

MAX_CHAIN: Final = 8


class Bogus(Exception):
    """The reply does not validate."""


class Validator:
    """A reply, the keys of the zone, and the time in seconds since 1970."""

    def __init__(self, reply: Message, keys: dns.rdataset.Rdataset, now: float) -> None:
        self._reply, self._keys, self._now = reply, keys, now
        self.answer: list[RRset] = []
        self.authority: list[RRset] = []

    def validate(self, name: Name, kind: RdataType) -> None:
        """Check the whole reply to a question; then `answer` and `authority` have what is proven. Raises Bogus."""
        for _ in range(MAX_CHAIN):
            found = _find(self._reply.answer, name, kind)
            alias = None if found is not None else _find(self._reply.answer, name, CNAME)
            if (shown := found or alias) is None:
                self._require_denial(name, kind)
                return
            self.answer += self.signed(self._reply.answer, shown)
            if alias is None:
                if self._reply.rcode() != dns.rcode.NOERROR:
                    raise Bogus(f"{name}: an answer with {dns.rcode.to_text(self._reply.rcode())}")
                return
            name = alias[0].target
        raise Bogus(f"{name}: a chain of more than {MAX_CHAIN}")

    def signed(self, section: Sequence[RRset], rrset: RRset) -> list[RRset]:
        """Return the records and their signatures, both with the lifetime that was signed. Raises Bogus."""
        signatures = _find(section, rrset.name, RRSIG, rrset.rdtype)
        if signatures is None:
            raise Bogus(f"{rrset.name} {rrset.rdtype.name}: no signature")
        # The zone has no wildcards: a signature for fewer labels is an expanded one.
        labels = len(rrset.name.labels) - 1
        if any(each.signer != root or each.labels != labels for each in signatures):
            raise Bogus(f"{rrset.name} {rrset.rdtype.name}: a signature by another zone, or of a wildcard")
        try:
            dns.dnssec.validate(rrset, signatures, {root: self._keys}, now=self._now)
        except dns.exception.DNSException as error:
            raise Bogus(f"{rrset.name} {rrset.rdtype.name}: {error}") from error
        rrset.ttl = signatures.ttl = min(rrset.ttl, *(each.original_ttl for each in signatures))
        return [rrset, signatures]

    def _require_denial(self, name: Name, kind: RdataType) -> None:
        """Check the proof that the name, or records of this type at it, do not exist (RFC 4035, 5.4). Raises Bogus."""
        section = self._reply.authority
        proofs = [each for each in section if each.rdtype == NSEC]
        shown = [*proofs, *(each for each in section if each.rdtype == SOA and each.name == root)]
        self.authority = [each for rrset in shown for each in self.signed(section, rrset)]
        covering = next((each for each in proofs if _covers(each, name)), None)
        if self._reply.rcode() == dns.rcode.NOERROR:
            at = _find(proofs, name, NSEC)
            empty = covering is not None and covering[0].next.is_subdomain(name)
            if not (empty or (at is not None and not _types(at) & {kind, CNAME})):
                raise Bogus(f"{name} {kind.name}: absence is not proven")
        elif self._reply.rcode() == dns.rcode.NXDOMAIN:
            if covering is None or covering[0].next.is_subdomain(name):
                raise Bogus(f"{name}: non-existence is not proven")
            nearest = max((_common(name, each) for each in (covering.name, covering[0].next)), key=len)
            if not any(_covers(each, dns.name.Name((b"*", *nearest.labels))) for each in proofs):
                raise Bogus(f"{name}: a wildcard is not excluded")
        else:
            raise Bogus(f"{name}: {dns.rcode.to_text(self._reply.rcode())}")


def _find(section: Sequence[RRset], name: Name, kind: RdataType, covers: RdataType = NONE) -> RRset | None:
    return next((each for each in section if (each.name, each.rdtype, each.covers) == (name, kind, covers)), None)


def _covers(proof: RRset, name: Name) -> bool:
    """Return whether an NSEC record proves that there is no record at this name itself."""
    owner: Name = proof.name
    following: Name = proof[0].next
    # The parent's side of a delegation, or a DNAME, says nothing of the names below it (RFC 6840, 4.1).
    types = _types(proof)
    if name.is_subdomain(owner) and name != owner and (DNAME in types or (NS in types and SOA not in types)):
        return False
    return bool(owner < name and (name < following or following <= owner))


def _types(proof: RRset) -> set[RdataType]:
    """Return the types that an NSEC record lists."""
    return {
        RdataType.make(window * 256 + byte * 8 + bit)
        for window, bitmap in proof[0].windows
        for byte, octet in enumerate(bitmap)
        for bit in range(8)
        if octet & (0x80 >> bit)
    }


def _common(one: Name, other: Name) -> Name:
    """Return the nearest name above both."""
    return one.split(one.fullcompare(other)[2])[1]
