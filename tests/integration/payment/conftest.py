"""What the payment tests share: the sandbox provider, really running, and a merchant's webhook end."""

from collections.abc import Iterator

import psycopg
import pytest

from shared.db import open_pool
from tests.engines import Database, Postgres
from tests.integration.payment.sandbox_process import (
    Merchant,
    Sandbox,
    running_merchant,
    running_sandbox,
)
from tests.integration.payment.world import World


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


@pytest.fixture(scope="session")
def payment_database(postgres: Postgres) -> Iterator[Database]:
    with postgres.database("payment") as made:
        yield made


@pytest.fixture
def world(payment_database: Database, sandbox: Sandbox) -> Iterator[World]:
    """A payment service with an empty database and the running sandbox as its provider."""
    empty(payment_database)
    pool = open_pool(payment_database.url, name="payment-test")
    try:
        yield World(pool=pool, sandbox=sandbox)
    finally:
        pool.close()


def empty(made: Database) -> None:
    """Delete every row; much quicker than a fresh database for each of a hundred tests."""
    with psycopg.connect(made.superuser_url, autocommit=True) as conn:
        tables = conn.execute(
            "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
        ).fetchone()
        assert tables is not None
        conn.execute(f"TRUNCATE {tables[0]}".encode())
