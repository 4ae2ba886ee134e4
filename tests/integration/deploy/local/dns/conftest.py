"""The zone's servers, started once; each test asks our resolver and unbound."""

import shutil
import socket
from collections.abc import Iterator

import pytest

from deploy.local.dns.authority import Authority
from deploy.local.dns.resolver import Resolver
from deploy.local.dns.server import Server
from deploy.local.dns.updates import Updates, update_keys
from deploy.local.dns.zone import SignedZone
from deploy.local.waiting import free_port, wait_until
from tests.integration.deploy.local.dns.zone import HOSTS, Zone, serve_lies, start_unbound


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    folder = tmp_path_factory.mktemp("dns")
    signed = SignedZone(folder, dict.fromkeys(HOSTS, "127.0.0.1"))
    honest = Authority(signed, update_keys(folder))
    authority = Server(0, honest.answer)
    zone = Zone(folder, authority, authority, authority, None, Updates(folder, authority.port))
    zone.liar = Server(0, serve_lies(zone, honest))
    zone.resolver = Server(0, Resolver(("127.0.0.1", zone.liar.port), signed.anchor).answer)
    unbound = None
    if shutil.which("unbound"):
        zone.unbound_port = free_port()
        unbound = start_unbound(folder, zone.unbound_port, zone.liar.port)
        port = zone.unbound_port
        wait_until(lambda: listens(port), limit=10, what="unbound listens")
    yield zone
    if unbound is not None:
        unbound.terminate()
        unbound.wait()
    for each in (zone.resolver, zone.liar, authority):
        each.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def zone(running: Zone) -> Iterator[Zone]:
    yield running
    running.tamper = running.source = None


@pytest.fixture(params=["ours", "unbound"])
def resolver_port(request: pytest.FixtureRequest, zone: Zone) -> int:
    if request.param == "ours":
        return zone.resolver.port
    if zone.unbound_port is None:
        pytest.skip("unbound is not installed")
    return zone.unbound_port
