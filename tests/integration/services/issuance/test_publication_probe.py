"""Probe of the published addresses, against a server over plain HTTP."""

import argparse
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.local import authority
from services.issuance import publication_probe, work
from services.issuance.ca.authority import IssuingCA
from services.issuance.publication_probe import CERTIFICATE_TYPE, CRL_TYPE, Expected, probe
from shared.runtime.operator_commands import Report
from tests.integration.services.issuance.world import World
from tests.support.dripping import BEGINNINGS, dripping, within
from tests.support.reports import rows_of
from tests.support.servers import serving, silent_server
from tests.unit.services.issuance.pki import ADDRESSES, NOW

HOST = "http://ca.example.hk"
ROOT = authority.root("A Root CA (Test)", "ARoot", begins=NOW, years=20)
SUB = authority.subordinate(ROOT, "A Sub CA (Test)", "ASub", begins=NOW, years=9, extensions=ROOT.pointers(HOST))
OTHER = authority.subordinate(ROOT, "A Sub CA (Test)", "ASub", begins=NOW, years=9, extensions=ROOT.pointers(HOST))
CA = IssuingCA(SUB.certificate, (ROOT.certificate,))
EXPECTED = Expected(ca=CA, crl_url=f"{HOST}/crl/ASub.crl", ca_issuers_url=f"{HOST}/root/ASub.crt")
OWN, ROOTS, YEAR = "/crl/ASub.crl", "/crl/ARoot.crl", timedelta(days=365)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


class Server(ThreadingHTTPServer):
    """Serves what relying parties find at each path, and notes the hosts that they ask for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hosts: set[str | None] = set()
        self.answers: dict[str, tuple[int, str, bytes]] = {
            OWN: (200, CRL_TYPE, authority.crl(SUB, [], NOW)),
            ROOTS: (200, CRL_TYPE, authority.crl(ROOT, [], NOW, lifetime=YEAR)),
            "/root/ASub.crt": (200, CERTIFICATE_TYPE, der(SUB.certificate)),
            "/root/ARoot.crt": (200, CERTIFICATE_TYPE, der(ROOT.certificate)),
        }

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's table."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        self.server.hosts.add(self.headers["Host"])
        status, media_type, body = self.server.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on which every address serves what it must."""
    made = Server()
    with serving(made):
        yield made


def faults(report: Report) -> dict[str, object]:
    return {str(row["url"]).removeprefix(HOST): row["fault"] for row in rows_of(report) if row["fault"]}


def test_every_address_in_our_certificates_is_fetched_from_its_host(server: Server) -> None:
    report = probe(EXPECTED, NOW, connect_to=server.address)
    assert (faults(report), report.failed) == ({}, False)
    assert {str(row["url"]).removeprefix(HOST) for row in rows_of(report)} == {*server.answers}
    assert server.hosts == {"ca.example.hk"}


@pytest.mark.parametrize(
    ("path", "answer", "fault"),
    [
        (OWN, (404, CRL_TYPE, b""), "status"),
        (OWN, (301, CRL_TYPE, b""), "status"),
        (OWN, (200, "text/html", authority.crl(SUB, [], NOW)), "media-type"),
        (OWN, (200, CRL_TYPE, b"<html>"), "crl-unreadable"),
        (OWN, (200, CRL_TYPE, b"0" * (16 * 1024 * 1024 + 1)), "too-large"),
        (OWN, (200, CRL_TYPE, authority.crl(ROOT, [], NOW)), "crl-of-unknown-issuer"),
        (OWN, (200, CRL_TYPE, authority.crl(OTHER, [], NOW)), "crl-of-unknown-issuer"),
        (OWN, (200, CRL_TYPE, authority.crl(SUB, [], NOW)[:-1] + b"\0"), "crl-signature"),
        (OWN, (200, CRL_TYPE, authority.crl(SUB, [], NOW + timedelta(minutes=1))), "crl-not-yet-valid"),
        (OWN, (200, CRL_TYPE, authority.crl(SUB, [], NOW - timedelta(days=2))), "crl-outdated"),
        (OWN, (200, CRL_TYPE, authority.crl(SUB, [], NOW - timedelta(hours=2, minutes=14))), None),
        (OWN, (200, CRL_TYPE, authority.crl(SUB, [], NOW - timedelta(hours=2, minutes=16))), "stale"),
        (ROOTS, (200, CRL_TYPE, authority.crl(ROOT, [], NOW, lifetime=timedelta(days=6))), "ends-soon"),
        (
            ROOTS,
            (
                200,
                CRL_TYPE,
                authority.crl(
                    ROOT, [(SUB.certificate.serial_number, NOW, x509.ReasonFlags.superseded)], NOW, lifetime=YEAR
                ),
            ),
            "ca-revoked",
        ),
        ("/root/ASub.crt", (200, CERTIFICATE_TYPE, der(OTHER.certificate)), "differs"),
        ("/root/ARoot.crt", (200, CERTIFICATE_TYPE, der(SUB.certificate)), "differs"),
        ("/root/ARoot.crt", (200, CRL_TYPE, der(ROOT.certificate)), "media-type"),
    ],
)
def test_fault_at_an_address_is_found(
    server: Server, path: str, answer: tuple[int, str, bytes], fault: str | None
) -> None:
    server.answers[path] = answer
    assert faults(probe(EXPECTED, NOW, connect_to=server.address)) == ({path: fault} if fault else {})


@pytest.mark.parametrize("ahead", [0, 1])
def test_crl_with_a_lower_number_than_one_that_is_long_made_is_found(server: Server, ahead: int) -> None:
    number = int(NOW.timestamp()) + ahead
    expected = Expected(**(vars(EXPECTED) | {"min_number": number}))
    assert faults(probe(expected, NOW, connect_to=server.address)) == ({OWN: "number-behind"} if ahead else {})


@pytest.mark.parametrize("begins", [None, "status-line", "headers"])
def test_server_that_drips_or_never_answers_is_a_fault_of_every_address(
    monkeypatch: pytest.MonkeyPatch, begins: str | None
) -> None:
    monkeypatch.setattr(publication_probe, "_TIMEOUT_SECONDS", 0.2)
    with ExitStack() as stack:
        if begins is None:
            address = stack.enter_context(silent_server())
        else:
            address = f"127.0.0.1:{stack.enter_context(dripping(BEGINNINGS[begins]))}"
        stack.enter_context(within(4))
        report = probe(EXPECTED, NOW, connect_to=address)
    assert {*faults(report).values()} == {"too-slow"}
    assert report.failed


def test_server_that_is_not_there_is_a_fault_of_every_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        report = probe(EXPECTED, NOW, connect_to=f"127.0.0.1:{unused.getsockname()[1]}")
    assert {*faults(report).values()} == {"unreachable"}


def test_address_that_is_not_plain_http_is_a_fault(server: Server) -> None:
    expected = Expected(**(vars(EXPECTED) | {"crl_url": "https://ca.example.hk/crl/ASub.crl"}))
    assert [*faults(probe(expected, NOW, connect_to=server.address)).values()] == ["not-http"]


@pytest.fixture
def command(world: World, server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Report]:
    """The operator's command on what this CA has published."""
    ca = world.issuer.ca
    expected = Expected(ca=ca, crl_url=ADDRESSES.crl_url, ca_issuers_url=ADDRESSES.ca_issuers_url)
    server.answers["/root/ca.crt"] = (200, CERTIFICATE_TYPE, ca.der)
    options = argparse.Namespace(connect_to=server.address)
    monkeypatch.setattr(publication_probe, "utc_now", world.clock)
    return lambda: publication_probe.command(lambda: expected).run(world.pool, options)


def test_number_is_compared_with_the_crls_that_every_cache_must_have_replaced(
    world: World, server: Server, command: Callable[[], Report]
) -> None:
    publish(world, server)
    assert not command().failed
    world.now += timedelta(minutes=70)
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)  # and caches still have the first
    assert not command().failed
    world.now += timedelta(minutes=64)
    assert not command().failed
    world.rows("UPDATE crls SET this_update = this_update - interval '20 minutes' RETURNING 1")
    assert [row["fault"] for row in rows_of(command())] == ["number-behind", None]
    publish(world, server)
    assert not command().failed


def test_addresses_of_the_newest_certificate_are_fetched_although_the_settings_have_others(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.issued(["www.example.hk"])
    publish(world, server)
    ca, options = world.issuer.ca, argparse.Namespace(connect_to=server.address)
    monkeypatch.setattr(publication_probe, "utc_now", world.clock)
    server.answers["/crl/new.crl"] = server.answers["/crl/ca.crl"]
    server.answers["/root/new.crt"] = (200, CERTIFICATE_TYPE, ca.der)
    server.answers["/root/ca.crt"] = (404, CERTIFICATE_TYPE, b"")
    changed = Expected(ca=ca, crl_url=f"{HOST}/crl/new.crl", ca_issuers_url=f"{HOST}/root/new.crt")
    report = publication_probe.command(lambda: changed).run(world.pool, options)
    assert [(row["url"], row["fault"]) for row in rows_of(report)] == [
        (f"{HOST}/crl/new.crl", None),
        (ADDRESSES.crl_url, None),
        (f"{HOST}/root/new.crt", None),
        (ADDRESSES.ca_issuers_url, "status"),
    ]


def publish(world: World, server: Server) -> None:
    """Make a CRL, if one is due, and serve it."""
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
    ((newest,),) = world.rows("SELECT der FROM crls ORDER BY number DESC LIMIT 1")
    server.answers["/crl/ca.crl"] = (200, CRL_TYPE, newest)
