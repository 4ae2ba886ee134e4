"""The application service with three subscriptions of one AR (standard, wildcard, multi-domain), and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from shared import db
from shared.db import Pool
from tests.engines import Database, Postgres
from tests.integration.application.world import ROWS, World


@pytest.fixture(scope="session")
def application_database(postgres: Postgres) -> Iterator[Database]:
    with postgres.database("application") as made:
        yield made


@pytest.fixture(scope="session")
def session_pool(application_database: Database) -> Iterator[Pool]:
    with db.open_pool(application_database.url, name="test", max_size=8) as opened:
        yield opened


@pytest.fixture
def pool(application_database: Database, session_pool: Pool) -> Pool:
    """A pool on an emptied database; the service itself has no right to empty it."""
    with psycopg.connect(application_database.superuser_url) as conn:
        tables = conn.execute(
            "SELECT string_agg(relname, ', ') FROM pg_class WHERE relkind = 'r' AND relname <> 'schema_migrations'"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchone()
        assert tables is not None
        conn.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY".encode())
    return session_pool


@pytest.fixture
def world(pool: Pool, tmp_path: Path) -> World:
    made = World(pool)
    made.enrol(ROWS, tmp_path)
    return made
