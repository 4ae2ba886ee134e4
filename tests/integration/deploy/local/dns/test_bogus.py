"""Replies of a lying authoritative server: each is SERVFAIL, at our resolver as at unbound."""

from collections.abc import Callable
from functools import partial
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import pytest
from dns.message import Message
from dns.rdatatype import DNSKEY, NSEC, RRSIG, TXT

from deploy.local.dns.authority import Authority
from deploy.local.dns.zone import SignedZone
from deploy.local.waiting import wait_until
from tests.integration.deploy.local.dns.zone import Tamper, Zone, clock


def sections(reply: Message) -> list[list[dns.rrset.RRset]]:
    return [reply.answer, reply.authority]


def drop(*kinds: dns.rdatatype.RdataType) -> Tamper:
    def tamper(reply: Message) -> None:
        for section in sections(reply):
            section[:] = [each for each in section if each.rdtype not in kinds or DNSKEY in (each.rdtype, each.covers)]

    return tamper


def rewrite(kind: dns.rdatatype.RdataType, value: str) -> Tamper:
    def tamper(reply: Message) -> None:
        for section in sections(reply):
            for place, each in enumerate(section):
                if each.rdtype == kind:
                    section[place] = dns.rrset.from_text(each.name, each.ttl, "IN", kind, value)

    return tamper


def append(kind: dns.rdatatype.RdataType, value: str) -> Tamper:
    def tamper(reply: Message) -> None:
        for each in reply.answer:
            if each.rdtype == kind:
                each.add(dns.rrset.from_text(each.name, each.ttl, "IN", kind, value)[0])

    return tamper


def change_signatures(**changes: object) -> Tamper:
    def tamper(reply: Message) -> None:
        for section in sections(reply):
            for each in section:
                if each.rdtype == RRSIG and each.covers != DNSKEY:
                    only = each[0].replace(**changes)
                    each.clear()  # type: ignore[no-untyped-call]  # dnspython's sets are untyped
                    each.add(only)

    return tamper


def flip(reply: Message) -> None:
    for each in [*reply.answer, *reply.authority]:
        if each.rdtype == RRSIG and each.covers != DNSKEY:
            signature = bytearray(each[0].signature)
            signature[10] ^= 1
            changed = each[0].replace(signature=bytes(signature))
            each.clear()  # type: ignore[no-untyped-call]  # dnspython's sets are untyped
            each.add(changed)


def rcode(value: dns.rcode.Rcode) -> Tamper:
    return lambda reply: reply.set_rcode(value) if reply.question[0].rdtype != DNSKEY else None


def replay(zone: Zone, name: str, kind: str, value: dns.rcode.Rcode | None = None) -> Tamper:
    """Return a reply with the true sections of another question."""

    def tamper(reply: Message) -> None:
        if reply.question[0].rdtype != DNSKEY:
            other = zone.ask(zone.authority.port, name, kind)
            reply.answer, reply.authority = other.answer, other.authority
            reply.set_rcode(other.rcode() if value is None else value)

    return tamper


def renamed(zone: Zone, name: str, kind: str) -> Tamper:
    def tamper(reply: Message) -> None:
        asked = reply.question[0].name
        if reply.question[0].rdtype != DNSKEY:
            other = zone.ask(zone.authority.port, name, kind)
            reply.answer = [dns.rrset.from_rdata_list(asked, each.ttl, list(each)) for each in other.answer]
            reply.authority = []
            reply.set_rcode(dns.rcode.NOERROR)

    return tamper


def source(days: float) -> Callable[[Zone], Tamper]:
    """Return replies that were signed so many days from now."""

    def make(zone: Zone) -> Tamper:
        zone.source = Authority(SignedZone(zone.folder, {}, clock(days)), {})
        return lambda reply: None

    return make


def always(tamper: Tamper) -> Callable[[Zone], Tamper]:
    return lambda zone: tamper


NXDOMAIN, NOERROR = dns.rcode.NXDOMAIN, dns.rcode.NOERROR
# Name: the published one of this case, or one that does not exist below it.
BOGUS: Final[tuple[tuple[str, str, Callable[[Zone], Tamper]], ...]] = (
    ("", "changed-value", always(rewrite(TXT, "other"))),
    ("", "added-value", always(append(TXT, "other"))),
    ("", "flipped-signature", always(flip)),
    ("", "no-signature", always(drop(RRSIG))),
    ("", "no-answer", always(drop(TXT, RRSIG))),
    ("", "expired", source(-30)),
    ("", "not-yet-valid", source(30)),
    ("", "longer-life", always(change_signatures(expiration=2**31))),
    ("", "another-signer", always(change_signatures(signer=dns.name.from_text("hk.")))),
    ("", "fewer-labels", always(change_signatures(labels=2))),
    ("", "more-labels", always(change_signatures(labels=9))),
    ("", "unknown-key-tag", always(change_signatures(key_tag=1))),
    ("", "unknown-algorithm", always(change_signatures(algorithm=200))),
    ("", "server-failure", always(rcode(dns.rcode.SERVFAIL))),
    ("", "refusal", always(rcode(dns.rcode.REFUSED))),
    ("", "denied-by-another-name's-proof", lambda zone: replay(zone, "nope.example.hk", "TXT")),
    ("", "denied-by-another-name's-nodata", lambda zone: replay(zone, "www.example.hk", "TXT")),
    ("", "denied-by-its-own-proof", lambda zone: replay(zone, "{name}", "AAAA")),
    ("", "another-name's-answer", lambda zone: replay(zone, "www.example.hk", "A")),
    ("", "renamed-answer", lambda zone: renamed(zone, "txt.example.hk", "TXT")),
    ("nope.", "no-proof", always(drop(NSEC))),
    ("nope.", "no-signature-of-the-proof", always(drop(RRSIG))),
    ("nope.", "changed-proof", always(rewrite(NSEC, ". A NS SOA TXT RRSIG NSEC DNSKEY"))),
    ("nope.", "flipped-signature-of-the-proof", always(flip)),
    ("nope.", "nodata-instead-of-nxdomain", always(rcode(NOERROR))),
    ("nope.", "proof-of-another-name", lambda zone: replay(zone, "zzz", "TXT")),
    ("nope.", "forged-answer", lambda zone: renamed(zone, "txt.example.hk", "TXT")),
)


@pytest.fixture(scope="module")
def text(running: Zone) -> None:
    running.updates.publish("txt.example.hk", "TXT", "elsewhere")


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize(("prefix", "case", "make"), BOGUS, ids=[f"{each[0]}{each[1]}" for each in BOGUS])
def test_reply_that_does_not_validate_is_servfail(
    request: pytest.FixtureRequest,
    zone: Zone,
    resolver_port: int,
    prefix: str,
    case: str,
    make: Callable[[Zone], Tamper],
) -> None:
    # A name for each case: unbound remembers what was bogus.
    own = f"n{BOGUS.index((prefix, case, make))}-{request.node.callspec.params['resolver_port']}.bogus.hk"
    if case == "denied-by-its-own-proof":
        make = partial(replay, name=own, kind="AAAA", value=NXDOMAIN)
    zone.updates.publish(own, "TXT", "value")
    zone.tamper = make(zone)
    found = zone.ask(resolver_port, prefix + own, "TXT")
    assert (dns.rcode.to_text(found.rcode()), found.answer) == ("SERVFAIL", [])
    assert not found.flags & dns.flags.AD
    if case not in ("server-failure", "refusal"):
        # Unbound keeps a time-out of a busy machine for 5 s as SERVFAIL: the reply to judge is the one after it.
        wait_until(
            lambda: zone.ask(resolver_port, prefix + own, "TXT", dns.flags.CD).rcode() != dns.rcode.SERVFAIL,
            limit=15,
            what="the reply is given unchecked",
        )
        assert not zone.ask(resolver_port, prefix + own, "TXT", dns.flags.CD).flags & dns.flags.AD
        assert zone.ask(resolver_port, prefix + own, "TXT").rcode() == dns.rcode.SERVFAIL
    zone.tamper = zone.source = None
    assert zone.ask(zone.resolver.port, own, "TXT").rcode() == NOERROR
