"""Envoy with an echo behind it, and one test PKI for all."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deploy.gateway.rules import BACKENDS
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Client
from tests.integration.deploy.local.gateway import gateway_with


@pytest.fixture(scope="package")
def pki(tmp_path_factory: pytest.TempPathFactory) -> local_pki.PKI:
    """A test PKI as `make run` makes it."""
    made = local_pki.PKI(tmp_path_factory.mktemp("pki"))
    passwords = dict.fromkeys(local_pki.PASSWORDS, "password")
    local_pki.create(made, passwords, now=datetime.now(UTC))
    return made


@pytest.fixture(scope="package")
def gateway(pki: local_pki.PKI) -> Iterator[Client]:
    """Envoy with an echo behind every route but payment's."""
    with gateway_with(pki, {*BACKENDS} - {"payment"}) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(gateway: Client, request: pytest.FixtureRequest) -> Client:
    """A client for it; each of its tests runs over both versions of HTTP."""
    return replace(gateway, http2=request.param)
