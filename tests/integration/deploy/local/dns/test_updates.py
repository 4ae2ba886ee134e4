"""Signed updates of the zone, the command for people, and a restart."""

import socket
from pathlib import Path

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
from dns.rdatatype import RRSIG, TXT

from deploy.local.dns.__main__ import look_up, main
from deploy.local.dns.authority import Authority
from deploy.local.dns.resolver import Resolver
from deploy.local.dns.server import Server
from deploy.local.dns.updates import UpdateRefused, update_keys
from deploy.local.dns.zone import SignedZone
from deploy.local.waiting import free_port
from tests.integration.deploy.local.dns.zone import Zone, clock


def key(name: str = "local-update.", secret: bytes = b"x" * 32) -> dict[dns.name.Name, dns.tsig.Key]:
    return {dns.name.from_text(name): dns.tsig.Key(name, secret, dns.tsig.HMAC_SHA256)}


def sent(zone: Zone, update: dns.update.UpdateMessage) -> str:
    received = update.to_wire()
    assert received is not None
    with socket.create_connection(("127.0.0.1", zone.authority.port), timeout=5) as connection:
        connection.sendall(len(received).to_bytes(2, "big") + received)
        return dns.rcode.to_text(dns.rcode.Rcode(connection.recv(4096)[5] & 15))


def updating(keys: dict[dns.name.Name, dns.tsig.Key] | None, zone_name: str = ".") -> dns.update.UpdateMessage:
    update = dns.update.UpdateMessage(zone_name, keyring=keys)
    update.add("forged.example.hk.", 60, "TXT", "forged")
    return update


def test_update_with_another_key_or_none_changes_nothing(zone: Zone) -> None:
    assert sent(zone, updating(key())) == "NOTAUTH"
    assert sent(zone, updating(key("other."))) == "NOTAUTH"
    assert sent(zone, updating(None)) == "REFUSED"
    assert zone.ask(zone.authority.port, "forged.example.hk", "TXT").rcode() == dns.rcode.NXDOMAIN


def test_signed_update_that_was_changed_or_is_old_changes_nothing(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = bytearray(updating(update_keys(zone.folder)).to_wire() or b"")
    wire[wire.index(b"\x06forged\x07") + 1] ^= 1
    with socket.create_connection(("127.0.0.1", zone.authority.port), timeout=5) as connection:
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        assert connection.recv(4096)[5] & 15 == dns.rcode.NOTAUTH
    old = updating(update_keys(zone.folder))
    with monkeypatch.context() as patched:
        patched.setattr("time.time", clock(-1))
        signed = old.to_wire() or b""
    with socket.create_connection(("127.0.0.1", zone.authority.port), timeout=5) as connection:
        connection.sendall(len(signed).to_bytes(2, "big") + signed)
        assert connection.recv(4096)[5] & 15 == dns.rcode.NOTAUTH
    assert zone.ask(zone.authority.port, "forged.example.hk", "TXT").rcode() == dns.rcode.NXDOMAIN


def test_update_of_what_the_zone_does_not_take_changes_nothing_of_it(zone: Zone) -> None:
    keys = update_keys(zone.folder)
    assert sent(zone, updating(keys, "example.hk.")) == "NOTZONE"
    for name, kind, value in (
        (".", "TXT", "x"),
        ("*.example.hk.", "A", "127.0.0.1"),
        ("x.example.hk.", "NS", "localhost."),
        ("x.example.hk.", "DNAME", "localhost."),
    ):
        update = updating(keys)
        update.add(name, 60, kind, value)
        assert sent(zone, update) == "REFUSED"
    conditional = updating(keys)
    conditional.absent("forged.example.hk.")
    assert sent(zone, conditional) == "NOTIMP"
    assert zone.ask(zone.authority.port, "forged.example.hk", "TXT").rcode() == dns.rcode.NXDOMAIN


def test_alias_beside_other_records_is_ignored(zone: Zone) -> None:
    zone.updates.publish("both.example.hk", "TXT", "first")
    zone.updates.publish("both.example.hk", "CNAME", "www.example.hk.")
    found = zone.ask(zone.resolver.port, "both.example.hk", "TXT")
    assert [each.rdtype for each in found.answer if each.rdtype != RRSIG] == [TXT]


def test_records_keys_and_anchor_survive_a_restart(zone: Zone) -> None:
    zone.updates.publish("kept.example.hk", "TXT", "kept")
    again = SignedZone(zone.folder, {"other.example.hk": "127.0.0.1"})
    server = Server(0, Authority(again, update_keys(zone.folder)).answer)
    resolver = Server(0, Resolver(("127.0.0.1", server.port), SignedZone(zone.folder, {}).anchor).answer)
    assert look_up(resolver.port, "kept.example.hk", "TXT") == 'NOERROR, secure\nkept.example.hk. 60 IN TXT "kept"'
    assert look_up(resolver.port, "other.example.hk", "A") == "NXDOMAIN, secure"
    resolver.close()
    server.close()


def test_withdrawal_of_a_type_keeps_the_others(zone: Zone) -> None:
    for kind, value in (("TXT", "one"), ("TXT", "two"), ("A", "127.0.0.1")):
        zone.updates.publish("several.example.hk", kind, value)
    zone.updates.withdraw("several.example.hk", "TXT")
    assert zone.ask(zone.resolver.port, "several.example.hk", "A").answer
    assert not zone.ask(zone.resolver.port, "several.example.hk", "TXT").answer
    with pytest.raises(UpdateRefused, match="not a CAA record"):
        zone.updates.publish("several.example.hk", "CAA", "nonsense")


def test_command_reports_that_nothing_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--folder", str(tmp_path), "publish", "x.example.hk", "TXT", "value"]
    (tmp_path / "ports.json").write_text(f'{{"dns": {free_port()}}}')
    (tmp_path / "dns").mkdir()
    assert main(arguments) == 1
    assert "publish: no reply" in capsys.readouterr().err
