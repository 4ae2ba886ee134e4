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
from tests.integration.perspective import hostile, ordinary
from tests.integration.perspective.cases import zones_of
from tests.integration.perspective.servers import DNS, MISSING, are_installed, running_dns
from tests.integration.perspective.zones import Zone

ROOT = Path(__file__).parents[3]
# Names that the tests of the fetcher use; the servers behind them listen on 127.0.1.1.
WEB = """
www A 127.0.1.1
"""


@pytest.fixture(scope="session")
def dns() -> Iterator[DNS]:
    """Return the running servers."""
    if not are_installed():
        if os.geteuid() != 0:
            pytest.skip(MISSING)
        done = subprocess.run([ROOT / "devtools/apt-install", "unbound", "knot", "knot-dnssecutils"], check=False)
        if done.returncode != 0:
            pytest.skip(MISSING)
    zones = [Zone("."), Zone("hk."), Zone("web.hk.", WEB), *zones_of(ordinary.TABLE, hostile.TABLE)]
    with running_dns(zones) as running:
        yield running


@pytest.fixture(scope="session")
def observer(dns: DNS) -> Observer:
    """Return an observer that may fetch from 127.0.1.0/24."""
    resolver = Resolver(dns.resolver)
    local = LocalAccess(ports={}, networks=[ip_network("127.0.1.0/24")])
    return Observer(resolver=resolver, fetcher=Fetcher(resolver, local), timeout=12)
