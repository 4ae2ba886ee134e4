"""Fixtures of the mailing tests."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.db import open_pool
from tests.integration.services.mailing.mail_server import MailServerFake, mail_server
from tests.integration.services.mailing.test_printing import write_print_key
from tests.integration.services.mailing.world import PORTAL, World
from tests.support.builders import signing_key
from tests.support.engines import Database, Postgres


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


@pytest.fixture
def environment(
    world: World, postgres: Postgres, mailing_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Environment of mailing's processes, print process included."""
    write_print_key(tmp_path)
    (tmp_path / "jwks.json").write_text('{"keys": []}')
    audit_key = signing_key("audit").key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "audit.key").write_bytes(audit_key)
    told = {
        **mailing_database.environment,
        "ENVIRONMENT": "local",
        "AUDIT_KEY_FILE": str(tmp_path / "audit.key"),
        "FINGERPRINT_KEY_FILE": str(tmp_path / "audit.key"),
        "IDENTITY_JWKS_FILE": str(tmp_path / "jwks.json"),
        "PAYMENT_JWKS_FILE": str(tmp_path / "jwks.json"),
        "APPLICATION_JWKS_FILE": str(tmp_path / "jwks.json"),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SMTP_URL": f"smtp://127.0.0.1:{world.server.port}",
        "MAIL_FROM": "Hongkong Post CA <no-reply@ecert.localhost>",
        "PORTAL_URL": PORTAL,
        "PRINT_DATABASE_URL": postgres.url(mailing_database.name, "mailing_print"),
        "PRINT_KEY_FILE": str(tmp_path / "print.key"),
        "PRINT_CERTIFICATE_FILE": str(tmp_path / "print.crt"),
        "POSTING_DIR": str(world.posting),
        "POSTING_BATCH_SECONDS": "1",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return os.environ | told
