"""The application service with three subscriptions of one AR (standard, wildcard, multi-domain), and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared import db
from shared.db import Pool
from tests.integration.services.application.world import ROWS, World
from tests.support.engines import Database


@pytest.fixture
def application_database(database: Callable[[str], Database]) -> Database:
    return database("application")


@pytest.fixture
def pool(application_database: Database) -> Iterator[Pool]:
    with db.open_pool(application_database.url, name="test", max_size=8) as opened:
        yield opened


@pytest.fixture
def world(pool: Pool, tmp_path: Path) -> World:
    made = World(pool=pool)
    made.enrol(ROWS, tmp_path)
    return made
