"""Answers and denials of the zone, what is in a reply, and what the servers do with anything else."""

import shutil
import socket
from pathlib import Path
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
from dns.rdatatype import CNAME, RRSIG, TXT

from deploy.local.dns.authority import Authority
from deploy.local.dns.resolver import Resolver
from deploy.local.dns.server import Server
from deploy.local.dns.zone import SignedZone
from deploy.local.waiting import free_port
from tests.integration.deploy.local.dns.zone import Zone, clock

QUESTIONS: Final = (
    ("www.example.hk", "A", "NOERROR", "127.0.0.1"),
    ("WWW.Example.HK", "A", "NOERROR", "127.0.0.1"),
    ("www.example.hk", "TXT", "NOERROR", ""),
    (".", "NS", "NOERROR", "localhost."),
    (".", "CAA", "NOERROR", ""),
    # Empty non-terminals: they exist, without records.
    ("hk", "TXT", "NOERROR", ""),
    ("b.c.example.hk", "A", "NOERROR", ""),
    ("nope.example.hk", "A", "NXDOMAIN", ""),
    ("deep.under.www.example.hk", "TXT", "NXDOMAIN", ""),
    ("aaa", "A", "NXDOMAIN", ""),
    ("zzz", "A", "NXDOMAIN", ""),
    ("_validation.www.example.hk", "TXT", "NXDOMAIN", ""),
)


@pytest.mark.parametrize(("name", "kind", "rcode", "value"), QUESTIONS)
def test_answers_and_denials_of_the_zone_are_secure(
    zone: Zone, resolver_port: int, name: str, kind: str, rcode: str, value: str
) -> None:
    found = zone.ask(resolver_port, name, kind)
    assert dns.rcode.to_text(found.rcode()) == rcode
    assert found.flags & dns.flags.AD
    answers = [str(each[0]) for each in found.answer if each.rdtype != RRSIG]
    assert answers == ([value] if value else [])


@pytest.mark.parametrize("value", ["value", "", 'with "quotes" and \\', "x" * 600, "漢字"])
def test_published_text_is_resolved_and_gone_after_withdrawal(zone: Zone, value: str) -> None:
    name = "_validation.mail.example.hk"
    zone.updates.publish(name, "TXT", value)
    (answer,) = [each for each in zone.ask(zone.resolver.port, name, "TXT").answer if each.rdtype == TXT]
    assert b"".join(answer[0].strings).decode() == value
    zone.updates.withdraw(name, "TXT", value)
    assert zone.ask(zone.resolver.port, name, "TXT").rcode() == dns.rcode.NXDOMAIN


def test_alias_is_followed_to_its_target_and_to_its_absence(zone: Zone, resolver_port: int) -> None:
    zone.updates.publish("alias.example.hk", "CNAME", "target.example.hk.")
    zone.updates.publish("target.example.hk", "CAA", '0 issue "ca.example"')
    found = zone.ask(resolver_port, "alias.example.hk", "CAA")
    assert [each.rdtype.name for each in found.answer if each.rdtype != RRSIG] == ["CNAME", "CAA"]
    absent = zone.ask(resolver_port, "alias.example.hk", "A")
    assert (absent.rcode(), [each.rdtype for each in absent.answer if each.rdtype != RRSIG]) == (0, [CNAME])
    assert found.flags & absent.flags & dns.flags.AD


def test_alias_loop_is_servfail(zone: Zone, resolver_port: int) -> None:
    zone.updates.publish("one.loop.hk", "CNAME", "two.loop.hk.")
    zone.updates.publish("two.loop.hk", "CNAME", "one.loop.hk.")
    assert zone.ask(resolver_port, "one.loop.hk", "A").rcode() == dns.rcode.SERVFAIL


def test_signatures_are_renewed_before_they_expire(zone: Zone, tmp_path: Path) -> None:
    shutil.copytree(zone.folder, tmp_path, dirs_exist_ok=True)
    ahead = [0.0]
    signed = SignedZone(tmp_path, {}, lambda: clock(ahead[0])())
    authority = Server(0, Authority(signed, {}).answer)
    resolver = Resolver(("127.0.0.1", authority.port), signed.anchor, lambda: clock(ahead[0])())
    query = dns.message.make_query("www.example.hk", "A").to_wire()
    for ahead[0] in (0.0, 0.9, 6.5, 30.0, 29.0):
        found = resolver.answer(query, True)
        assert found is not None
        assert dns.message.from_wire(found).rcode() == dns.rcode.NOERROR
    authority.close()


def test_zone_of_other_keys_is_servfail(zone: Zone, tmp_path: Path) -> None:
    other = Server(0, Authority(SignedZone(tmp_path, {"www.example.hk": "192.0.2.1"}), {}).answer)
    anchor = SignedZone(zone.folder, {}).anchor
    resolver = Server(0, Resolver(("127.0.0.1", other.port), anchor).answer)
    assert zone.ask(resolver.port, "www.example.hk", "A").rcode() == dns.rcode.SERVFAIL
    resolver.close()
    other.close()


def test_authoritative_server_that_is_down_is_servfail(zone: Zone) -> None:
    anchor = SignedZone(zone.folder, {}).anchor
    resolver = Server(0, Resolver(("127.0.0.1", free_port()), anchor, timeout=0.3).answer)
    assert zone.ask(resolver.port, "www.example.hk", "A").rcode() == dns.rcode.SERVFAIL
    resolver.close()


def test_client_without_do_gets_no_signatures_and_ad_only_if_asked(zone: Zone) -> None:
    plain = dns.message.make_query("nope.example.hk", "A")
    for flags, secure in ((0, 0), (dns.flags.AD, dns.flags.AD)):
        plain.flags = dns.flags.RD | flags
        found = dns.query.udp(plain, "127.0.0.1", timeout=5, port=zone.resolver.port)
        assert {each.rdtype.name for each in found.authority} == {"SOA"}
        assert (found.flags & dns.flags.AD, found.edns) == (secure, -1)


def test_reply_too_long_for_udp_is_truncated_and_whole_over_tcp(zone: Zone) -> None:
    name = "long.example.hk"
    for number in range(8):
        zone.updates.publish(name, "TXT", f"{number}" + "x" * 250)
    short = zone.ask(zone.resolver.port, name, "TXT", tcp=False)
    assert short.flags & dns.flags.TC
    assert len(short.to_wire()) <= 1232
    (whole,) = [each for each in zone.ask(zone.resolver.port, name, "TXT").answer if each.rdtype == TXT]
    assert len(whole) == 8


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 11, id="short"),
        pytest.param(b"\xff" * 40, id="reply"),
        pytest.param(b"\x12\x34\x80\0" + b"\0" * 8, id="empty-reply"),
        pytest.param(b"\x12\x34" + b"\x01" * 600, id="nonsense"),
    ],
)
def test_bytes_that_are_no_query_stop_no_server(zone: Zone, received: bytes) -> None:
    for port in (zone.authority.port, zone.resolver.port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(received, ("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(len(received).to_bytes(2, "big") + received)
        assert zone.ask(port, "www.example.hk", "A").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("kind", ["ANY", "AXFR", "RRSIG"])
def test_questions_for_many_types_are_not_implemented(zone: Zone, kind: str) -> None:
    query = dns.message.make_query("www.example.hk", "A")
    query.question[0].rdtype = dns.rdatatype.from_text(kind)
    found = dns.query.tcp(query, "127.0.0.1", timeout=5, port=zone.resolver.port)
    assert found.rcode() == dns.rcode.NOTIMP
