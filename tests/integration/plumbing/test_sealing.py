"""The sealed audit log: whatever is changed afterwards is named."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from shared import audit, db, sealing
from shared.db import Pool
from shared.sealing import Finding
from shared.tokens import KeySet, SigningKey, thumbprint
from shared.tx import Tx, transaction
from tests.engines import Database
from tests.integration.plumbing.conftest import NOW


@pytest.fixture
def made(database: Callable[[str], Database]) -> Database:
    return database("application")


@pytest.fixture
def pool(made: Database) -> Iterator[Pool]:
    with db.open_pool(made.url, name="test") as opened:
        yield opened


@pytest.fixture(scope="module")
def key() -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key=private, kid=thumbprint(private.public_key()))


def write(tx: Tx, subject: str) -> None:
    audit.record(tx, actor="tester", action="tested", subject=subject, details={"n": 1})


def findings(pool: Pool, key: SigningKey) -> list[Finding]:
    with pool.connection() as conn:
        return list(sealing.check(conn, KeySet.parse({"keys": [key.jwk()]}), service="application", now=NOW))


def seal_some(pool: Pool, key: SigningKey, *subjects: str) -> None:
    with transaction(pool, clock=lambda: NOW) as tx:
        for subject in subjects:
            write(tx, subject)
    assert sealing.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))


def test_an_untouched_log_has_no_findings(pool: Pool, key: SigningKey) -> None:
    seal_some(pool, key, "a", "b", "c")
    seal_some(pool, key, "d")
    assert not sealing.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))
    assert findings(pool, key) == []


def test_a_row_that_commits_late_is_sealed_late(pool: Pool, key: SigningKey) -> None:
    with transaction(pool, clock=lambda: NOW) as late:
        write(late, "late")
        seal_some(pool, key, "early")
    assert sealing.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))
    assert findings(pool, key) == []


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("UPDATE audit_log SET actor = 'nobody' WHERE subject = 'b'", "a row was changed"),
        ("DELETE FROM audit_log WHERE subject = 'b'", "3 rows were sealed, 2 are there"),
        ("UPDATE audit_seals SET merkle_root = repeat('0', 64) WHERE id = 1", "a row was changed"),
        (
            "UPDATE audit_log SET seal_id = NULL; DELETE FROM audit_seals WHERE id = 1",
            "does not follow the seal before it",
        ),
    ],
)
def test_tampering_is_named(pool: Pool, made: Database, key: SigningKey, tampering: str, what: str) -> None:
    seal_some(pool, key, "a", "b", "c")
    seal_some(pool, key, "d")
    with psycopg.connect(made.superuser_url) as conn:
        conn.execute(tampering.encode())
    assert what in [finding.what for finding in findings(pool, key)]


@pytest.mark.parametrize(
    "forbidden", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "UPDATE audit_seals SET head = 'x'"]
)
def test_the_running_service_cannot_change_what_it_wrote(pool: Pool, key: SigningKey, forbidden: str) -> None:
    seal_some(pool, key, "a")
    with pool.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(forbidden.encode())
