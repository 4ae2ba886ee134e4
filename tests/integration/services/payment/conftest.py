"""Fixtures of the payment tests: the sandbox provider, really running, and a merchant's webhook end."""

from collections.abc import Callable, Iterator

import pytest

from shared.db import open_pool
from tests.integration.services.payment.sandbox_process import Merchant, Sandbox, running_merchant, running_sandbox
from tests.integration.services.payment.world import World
from tests.support.engines import Database


@pytest.fixture(scope="session")
def merchant_process() -> Iterator[Merchant]:
    with running_merchant() as merchant:
        yield merchant


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory, merchant_process: Merchant) -> Iterator[Sandbox]:
    store = tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite"
    with running_sandbox(store, merchant_process.url) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The sandbox without any fault left over."""
    sandbox_process.clear_faults()
    yield sandbox_process
    sandbox_process.clear_faults()


@pytest.fixture
def merchant(merchant_process: Merchant) -> Merchant:
    """The merchant's webhook end, with nothing received yet."""
    merchant_process.received.clear()
    merchant_process.statuses.clear()
    return merchant_process


@pytest.fixture
def payment_database(database: Callable[[str], Database]) -> Database:
    return database("payment")


@pytest.fixture
def world(payment_database: Database, sandbox: Sandbox) -> Iterator[World]:
    """A payment service with an empty database and the running sandbox as its provider."""
    pool = open_pool(payment_database.url, name="payment-test")
    try:
        yield World(pool=pool, sandbox=sandbox)
    finally:
        pool.close()
