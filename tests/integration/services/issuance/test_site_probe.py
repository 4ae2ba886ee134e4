"""Probe of the test sites, against servers that have the certificates of a world over TLS."""

import argparse
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from services.issuance import revocation, work
from services.issuance.ca.crl import RevocationReason
from services.issuance.certificate_forms import pem
from services.issuance.site_probe import Site, command, probe
from tests.integration.services.issuance.world import Renewal, World
from tests.support.reports import row_of
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, private_pem, rsa_key
from tests.unit.services.issuance.pki import issuing_ca

NAME = "valid.example.hk"


def issued(world: World, number: int) -> Renewal:
    """Return a renewal of one certificate, with a key of its own."""
    renewal = world.opened([NAME])
    world.submit(renewal, csr=as_pem(csr_der(rsa_key(2048, number), names=[NAME])))
    world.issue()
    return renewal


@contextmanager
def served(world: World, renewal: Renewal, number: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the certificate over TLS. Yields host and port."""
    ((der,),) = world.rows("SELECT der FROM certificates WHERE renewal_id = %s", renewal.renewal_id)
    (folder / "chain.pem").write_bytes(pem([x509.load_der_x509_certificate(der), *world.issuer.ca.served]))
    (folder / "key.pem").write_text(private_pem(rsa_key(2048, number)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        listening.settimeout(0.1)
        ended = threading.Event()
        thread = threading.Thread(target=_answer, args=(listening, context, ended))
        thread.start()
        stack.callback(thread.join)
        stack.callback(ended.set)
        yield "127.0.0.1", listening.getsockname()[1]


def _answer(listening: socket.socket, context: ssl.SSLContext, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            connection, _ = listening.accept()
            connection.settimeout(5)
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            continue


def fault(world: World, site: Site, **changes: Any) -> object:
    ca = changes.pop("ca", world.issuer.ca)
    report = probe(world.pool, [replace(site, **changes)], ca, clock=world.clock)
    row = row_of(report)
    assert report.failed is (row["fault"] is not None)
    return row["fault"]


def test_each_site_must_have_the_certificate_of_its_kind(world: World, tmp_path: Path) -> None:
    renewal = issued(world, 31)
    with served(world, renewal, 31, tmp_path) as address:
        site = Site(kind="valid", name=NAME, address=address)
        assert [fault(world, site, kind=kind) for kind in ("valid", "revoked", "expired")] == [
            None,
            "not-revoked",
            "not-expired",
        ]
        assert fault(world, site, name="other.example.hk") == "other-name"
        assert fault(world, site, ca=issuing_ca("ec")[0]) == "not-ours"
        with world.begin() as tx:
            revocation.revoke_own(tx, renewal.items[0].item_id, RevocationReason.CESSATION_OF_OPERATION, renewal.caller)
        assert fault(world, site, kind="revoked") == "not-listed"
        work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
        assert [fault(world, site, kind=kind) for kind in ("valid", "revoked")] == ["revoked", None]
        world.rows("UPDATE certificates SET given_out = false RETURNING 1")
        assert fault(world, site, kind="revoked") == "not-in-the-books"
    assert fault(world, site) == "unreachable"


def test_expired_certificate_is_one_that_was_valid_and_never_revoked(world: World, tmp_path: Path) -> None:
    renewal = issued(world, 32)
    world.now += timedelta(days=200)
    with served(world, renewal, 32, tmp_path) as address:
        site = Site(kind="expired", name=NAME, address=address)
        found = [fault(world, site, kind=kind) for kind in ("expired", "valid", "revoked")]
    assert found == [None, "expired", "expired"]


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("valid=a.example.hk", Site(kind="valid", name="a.example.hk", address=("a.example.hk", 443))),
        ("expired=a.example.hk:8443", Site(kind="expired", name="a.example.hk", address=("a.example.hk", 8443))),
        ("other=a.example.hk", None),
        ("valid=", None),
        ("valid", None),
        ("valid=a.example.hk:x", None),
    ],
)
def test_argument_names_kind_and_host(text: str, site: Site | None) -> None:
    parser = argparse.ArgumentParser()
    command(lambda: issuing_ca()[0]).add_arguments(parser)
    if site is None:
        with pytest.raises(SystemExit):
            parser.parse_args([text])
    else:
        assert parser.parse_args([text]).site == [site]
