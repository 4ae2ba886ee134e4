"""Fixtures of all tests; an engine starts when the first test asks for it, and once per run."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.support.http_contract import Checker

if TYPE_CHECKING:
    from tests.support.engines import Database, Kafka, Postgres


_BROKEN: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make warnings errors, but for two of kafka-python's own that no caller can mend."""
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket:ResourceWarning")
    # structlog's own default draws every traceback with all its variables, which takes seconds.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    Checker(_BROKEN.append).listen()


@pytest.fixture(autouse=True)
def _answers_keep_the_contract() -> Iterator[None]:
    """Fail a test in which an answer was not as its service's OpenAPI document says."""
    _BROKEN.clear()
    yield
    assert not _BROKEN, "\n".join(sorted(set(_BROKEN)))


@pytest.fixture(autouse=True)
def _logging_is_restored() -> Iterator[None]:
    """Undo the configuration of the log by a command that a test runs in this process."""
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)
        logging.root.handlers[:] = handlers


# Folders whose tests share a whole system or a gateway: one worker runs all of them.
_SHARED = (
    "system",
    "integration/deploy/local",
    "integration/services/issuance/feed",
    "integration/perspective",
    "faults/shared",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for parallel workers, by file or by folder, and put the longest groups first."""
    tests = Path(__file__).parent
    ranks: dict[str, int] = {}
    for item in items:
        path = item.path.relative_to(tests).as_posix()
        folder = next((each for each in _SHARED if path.startswith(f"{each}/")), None)
        ranks[item.nodeid] = _SHARED.index(folder) if folder else len(_SHARED) + path.startswith("unit/")
        group = folder or path
        item.add_marker(pytest.mark.xdist_group(group))
    if any(item.config.getoption("numprocesses", None) for item in items[:1]):
        items.sort(key=lambda item: ranks[item.nodeid])


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """A real PostgreSQL cluster with every service's roles, without databases.

    At the end, all that issuance has made in any of them is verified, as relying parties do it.
    """
    from tests.support.engines import running_postgres

    with running_postgres() as cluster:
        yield cluster
    assert not (found := cluster.issued.faults()), "\n".join(found)


@pytest.fixture(scope="session")
def kafka() -> Iterator["Kafka"]:
    """A real Kafka broker with users, ACLs and topics; its records stay from test to test."""
    from tests.support.engines import running_kafka

    with running_kafka() as broker:
        yield broker


@pytest.fixture
def database(postgres: "Postgres") -> Iterator[Callable[[str], "Database"]]:
    """Make a fresh database of a service, as often as asked: `database("payment")`."""
    with contextlib.ExitStack() as databases:
        yield lambda service: databases.enter_context(postgres.database(service))
