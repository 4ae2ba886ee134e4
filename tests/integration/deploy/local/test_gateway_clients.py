"""Each host asks for the certificates of its own kind of client; another kind's ends in the handshake."""

import ssl
from pathlib import Path

import pytest

from deploy.gateway.rules import IDENTITY_HEADER, PLATFORM_PATHS, Clients, Host, hosts
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Client

HOSTS = [host for host in hosts() if host.clients is not None]
PAIRS = [(host, kind) for host in HOSTS for kind in Clients]


def certificate_of(pki: local_pki.PKI, kind: Clients) -> Path:
    return {
        Clients.ECERTS: pki.people / "chan-mei-ling.pem",
        Clients.SYSTEMS: pki.back_office / "backoffice.pem",
        Clients.STAFF: pki.staff / "lau-wing-yan.pem",
    }[kind]


@pytest.mark.parametrize(("host", "kind"), PAIRS, ids=lambda each: getattr(each, "name", None))
def test_host_accepts_its_own_clients_only(client: Client, pki: local_pki.PKI, host: Host, kind: Clients) -> None:
    path, certificate = host.routes[0].path, certificate_of(pki, kind)
    if kind is not host.clients:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.ask(host.name, path, certificate=certificate)
        return
    answer = client.ask(host.name, path, certificate=certificate)
    assert (answer.status, len(answer.sent(IDENTITY_HEADER))) == (200, 1)


DESK = "desk.ecert.localhost"


@pytest.mark.parametrize("path", ["/", "/renewals/1", "/static/desk.css", "/certificates/waiting?after=1"])
def test_every_page_of_the_desks_host_is_the_desks(client: Client, path: str) -> None:
    answer = client.ask(DESK, path)
    assert (answer.status, answer.json["path"], answer.sent("host")) == (200, path, [DESK])


@pytest.mark.parametrize("path", [*PLATFORM_PATHS, "/held/../metrics", "//readyz", "/%6detrics"])
def test_health_pages_of_the_desk_are_not_for_staff(client: Client, path: str) -> None:
    assert client.ask(DESK, path).status == 404


def test_forged_staff_header_does_not_reach_the_desk(client: Client) -> None:
    forged = {IDENTITY_HEADER: 'Cert="forged"', "X-SSL-Client-Cert": "forged", "X-Remote-User": "S1004"}
    answer = client.ask(DESK, "/", headers=forged)
    assert answer.sent(IDENTITY_HEADER) == []
    assert b"forged" not in answer.body
    assert b"S1004" not in answer.body


@pytest.mark.parametrize("host", [host.name for host in hosts() if host.name != DESK])
def test_no_connection_of_another_host_reaches_the_desk(client: Client, host: str) -> None:
    assert client.ask(DESK, "/", sni=host).status == 421
