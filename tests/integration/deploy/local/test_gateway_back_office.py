"""The back office's host: the feed and nothing else, for clients of the back office's CA; asked of the real Envoy."""

import ssl
import urllib.parse
from collections.abc import Iterator
from itertools import product

import pytest
from cryptography import x509

from deploy.gateway.rules import BACK_OFFICE_HOST, FEED, FEED_KEYS_PATH, FEED_PATHS, IDENTITY_HEADER
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Client
from tests.integration.deploy.local.gateway import API, PAGES, SIGN_IN, gateway_with


@pytest.fixture(scope="module")
def only_feed(pki: local_pki.PKI) -> Iterator[Client]:
    """Envoy with nothing behind it but the feed: what leads elsewhere is 503."""
    with gateway_with(pki, {FEED}) as made:
        yield made


@pytest.mark.parametrize("path", FEED_PATHS)
def test_feed_gets_the_clients_certificate(only_feed: Client, pki: local_pki.PKI, path: str) -> None:
    file = pki.back_office / "backoffice.pem"
    answer = only_feed.ask(BACK_OFFICE_HOST, f"{path}?after=1", certificate=file)
    assert (answer.status, answer.json["path"]) == (200, f"{path}?after=1")
    (element,) = answer.sent(IDENTITY_HEADER)
    pem = urllib.parse.unquote(element.partition('Cert="')[2].partition('"')[0])
    assert x509.load_pem_x509_certificate(pem.encode()) == x509.load_pem_x509_certificate(file.read_bytes())


@pytest.mark.parametrize("certificate", [None, "backoffice"])
def test_forged_certificate_header_is_replaced(only_feed: Client, pki: local_pki.PKI, certificate: str | None) -> None:
    file = pki.back_office / f"{certificate}.pem" if certificate else None
    forged = {IDENTITY_HEADER: 'Cert="forged"', "X-SSL-Client-Cert": "forged", "Client-Cert": "forged"}
    answer = only_feed.ask(BACK_OFFICE_HOST, FEED_PATHS[0], headers=forged, certificate=file)
    assert answer.status == 200
    assert len(answer.sent(IDENTITY_HEADER)) == (certificate is not None)
    assert b"forged" not in answer.body


def test_other_paths_are_404_on_the_feed_host(client: Client, pki: local_pki.PKI) -> None:
    paths = ("/", "/metrics", "/readyz", "/issuance/v1/crl", "/issuance/v1/openapi.json", "/identity/v1/tokens")
    near = (f"{FEED_PATHS[0]}/", f"{FEED_PATHS[0]}x", "/issuance/v1/ISSUANCE-EVENTS", f"{FEED_PATHS[0]};/../metrics")
    for path in (*paths, *near):
        answer = client.ask(BACK_OFFICE_HOST, path, certificate=pki.back_office / "backoffice.pem")
        assert (answer.status, answer.json["type"]) == (404, "urn:ecert:problem:not-found"), path


def test_other_hosts_serve_the_keys_and_no_events(only_feed: Client) -> None:
    answer = only_feed.ask(API, FEED_KEYS_PATH)
    assert (answer.status, answer.sent(IDENTITY_HEADER)) == (200, [])
    statuses = {only_feed.ask(API, path).status for path in FEED_PATHS if path != FEED_KEYS_PATH}
    statuses |= {only_feed.ask(SIGN_IN, path).status for path in FEED_PATHS}
    assert statuses <= {404, 503}, "404 of the gateway, or issuance's own web process, which is not there"


def test_host_accepts_certificates_of_its_own_ca_only(client: Client, pki: local_pki.PKI) -> None:
    ar, system = pki.people / "chan-mei-ling.pem", pki.back_office / "backoffice.pem"
    for host, path, certificate in ((BACK_OFFICE_HOST, FEED_PATHS[0], ar), (SIGN_IN, "/identity/v1/tokens", system)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.ask(host, path, certificate=certificate)


def test_connection_to_another_host_does_not_reach_it_nor_the_other_way(client: Client, pki: local_pki.PKI) -> None:
    for other, (host, sni) in product((API, SIGN_IN, PAGES), ((0, 1), (1, 0))):
        names = (BACK_OFFICE_HOST, other)
        assert client.ask(names[host], FEED_PATHS[0], sni=names[sni]).status == 421
