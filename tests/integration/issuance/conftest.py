"""issuance on a fresh database."""

from collections.abc import Callable, Iterator

import pytest

from shared import db
from shared.db import Pool
from tests.engines import Database
from tests.integration.issuance.world import World


@pytest.fixture
def issuance(database: Callable[[str], Database]) -> Database:
    """A fresh database of issuance."""
    return database("issuance")


@pytest.fixture
def pool(issuance: Database) -> Iterator[Pool]:
    """A pool on it."""
    with db.open_pool(issuance.url, name="test", max_size=30, wait=20) as opened:
        yield opened


@pytest.fixture
def world(pool: Pool) -> World:
    """Everything round it."""
    return World(pool)
