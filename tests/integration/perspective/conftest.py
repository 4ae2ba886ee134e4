"""Fixtures: the servers, started once for all tests of this folder, and an observer that asks them."""

import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from perspective.fetcher import Fetcher, LocalAccess
from perspective.observing import Observer
from perspective.resolver import Resolver
from tests.integration.perspective import hostile, ordinary, signatures
from tests.integration.perspective.cases import Table, zones_of
from tests.integration.perspective.servers import DNS, MISSING, are_installed, running_dns
from tests.integration.perspective.zones import Zone, expired

ROOT = Path(__file__).parents[3]
# Names that the tests of the fetcher use; the servers behind them listen on 127.0.1.1.
WEB = [
    Zone(
        "web.hk.",
        """
www A 127.0.1.1
other A 127.0.1.1
loopback A 127.0.0.1
metadata A 169.254.169.254
private A 10.0.0.1
mixed A 127.0.1.1
mixed A 10.0.0.1
loopback6 AAAA ::1
mapped AAAA ::ffff:127.0.0.1
nat64 AAAA 64:ff9b::7f00:1
6to4 AAAA 2002:7f00:1::1
alias CNAME loopback
closed A 127.0.1.2
second A 127.0.1.1
second A 127.0.1.3
"""
        + "".join(f"many A 127.0.1.{n}\n" for n in range(1, 18)),
    ),
    Zone("expired.hk.", "www A 127.0.1.1", expired),
    Zone("rebinding.hk.", server="rebinding"),
]
PACKAGES = ("unbound", "knot", "knot-dnssecutils")
LOCAL = LocalAccess(ports={}, networks=[ip_network("127.0.1.0/24")])


@pytest.fixture(scope="session")
def dns() -> Iterator[DNS]:
    """Return running servers with the ordinary zones."""
    yield from _running(ordinary.TABLE)


@pytest.fixture(scope="session")
def hostile_dns() -> Iterator[DNS]:
    """Return running servers with the hostile zones; signing them all takes seconds."""
    yield from _running(hostile.TABLE, signatures.TABLE)


@pytest.fixture(scope="session")
def observer(dns: DNS) -> Observer:
    """Return an observer of the ordinary zones."""
    return _observer(dns)


@pytest.fixture(scope="session")
def hostile_observer(hostile_dns: DNS) -> Observer:
    """Return an observer of the hostile zones."""
    return _observer(hostile_dns)


def _running(*tables: Table) -> Iterator[DNS]:
    if not are_installed():
        if os.geteuid() != 0:
            pytest.skip(MISSING)
        done = subprocess.run([ROOT / "devtools/apt-install", *PACKAGES], check=False)
        if done.returncode != 0:
            pytest.skip(MISSING)
    with running_dns([Zone("."), Zone("hk."), *WEB, *zones_of(*tables)]) as running:
        yield running


def _observer(dns: DNS) -> Observer:
    resolver = Resolver(dns.resolver)
    return Observer(resolver=resolver, fetcher=Fetcher(resolver, LOCAL), timeout=12)
