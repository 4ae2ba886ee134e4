"""What the mailing tests share."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.db import open_pool
from tests.engines import Database, Postgres
from tests.integration.mailing.mail_server import MailServerFake, mail_server
from tests.integration.mailing.world import World


@pytest.fixture
def mailing_database(database: Callable[[str], Database]) -> Database:
    return database("mailing")


@pytest.fixture
def world(postgres: Postgres, mailing_database: Database, tmp_path: Path) -> Iterator[World]:
    """A mailing service with an empty database and a mail server that takes everything."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(mail_server(MailServerFake()))
        pool = stack.enter_context(contextlib.closing(open_pool(mailing_database.url, name="mailing-test")))
        print_url = postgres.url(mailing_database.name, "mailing_print")
        print_pool = stack.enter_context(contextlib.closing(open_pool(print_url, name="print-test")))
        yield World(pool=pool, print_pool=print_pool, server=server, posting=tmp_path / "posting")
