"""A writer's and a reader's database, and an empty topic between them."""

from collections.abc import Callable, Iterator

import pytest

from shared import db
from shared.db import Pool
from tests.faults.shared.kit import TOPIC
from tests.support.engines import Database, Kafka


@pytest.fixture
def topic(kafka: Kafka) -> Kafka:
    """The broker, with nothing of earlier tests in the topic."""
    kafka.empty(TOPIC)
    return kafka


@pytest.fixture
def writer_database(database: Callable[[str], Database]) -> Database:
    return database("payment")


@pytest.fixture
def reader_database(database: Callable[[str], Database]) -> Database:
    return database("application")


@pytest.fixture
def writer(writer_database: Database) -> Iterator[Pool]:
    with db.open_pool(writer_database.url, name="writer") as pool:
        yield pool


@pytest.fixture
def reader(reader_database: Database) -> Iterator[Pool]:
    with db.open_pool(reader_database.url, name="reader") as pool:
        yield pool
