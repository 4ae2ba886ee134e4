"""The small service on a real PostgreSQL."""

from collections.abc import Iterator

import psycopg
import pytest

from shared import db
from shared.db import Pool
from tests.integration.shared.web.small_client import Client
from tests.integration.shared.web.small_service import make_app
from tests.support.engines import Database, Postgres


@pytest.fixture(scope="module")
def made(postgres: Postgres) -> Iterator[Database]:
    """One database for all tests of this module."""
    with postgres.database("application") as made:
        yield made


@pytest.fixture(scope="module")
def opened(made: Database) -> Iterator[Pool]:
    with db.open_pool(made.url, name="test") as pool:
        yield pool


@pytest.fixture
def pool(made: Database, opened: Pool) -> Pool:
    """The database, with nothing in it that a test before has left."""
    with psycopg.connect(made.superuser_url, autocommit=True) as conn:
        conn.execute("TRUNCATE audit_log, idempotency_keys")
    return opened


@pytest.fixture
def client(pool: Pool) -> Client:
    return make_app(pool).test_client()
