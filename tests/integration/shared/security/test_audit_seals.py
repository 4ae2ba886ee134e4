"""The sealed audit log: whatever is changed afterwards is named."""

import argparse
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from shared import audit, db
from shared.db import Pool
from shared.runtime import audit_command
from shared.security import audit_seals
from shared.security.audit_seals import Finding
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign, thumbprint
from shared.tx import Tx, transaction
from tests.integration.shared.conftest import NOW
from tests.support.engines import Database


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


def findings(pool: Pool, key: SigningKey, *anchors: str) -> list[Finding]:
    keys = KeySet.parse({"keys": [key.jwk()]})
    with pool.connection() as conn:
        return list(audit_seals.check(conn, keys, service="application", now=NOW, anchors=anchors))


def seal_some(pool: Pool, key: SigningKey, *subjects: str) -> None:
    with transaction(pool, clock=lambda: NOW) as tx:
        for subject in subjects:
            write(tx, subject)
    assert audit_seals.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))


def test_untouched_log_has_no_findings(pool: Pool, key: SigningKey) -> None:
    seal_some(pool, key, "a", "b", "c")
    seal_some(pool, key, "d")
    assert not audit_seals.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))
    assert findings(pool, key) == []


def test_row_that_commits_late_is_sealed_late(pool: Pool, key: SigningKey) -> None:
    with transaction(pool, clock=lambda: NOW) as late:
        write(late, "late")
        seal_some(pool, key, "early")
    assert audit_seals.seal_next(pool, key, service="application", clock=lambda: NOW, after=timedelta(0))
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
def test_tampering_is_reported(pool: Pool, made: Database, key: SigningKey, tampering: str, what: str) -> None:
    seal_some(pool, key, "a", "b", "c")
    seal_some(pool, key, "d")
    with psycopg.connect(made.superuser_url) as conn:
        conn.execute(tampering.encode())
    assert what in [finding.what for finding in findings(pool, key)]


@pytest.mark.parametrize(
    "forbidden", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "UPDATE audit_seals SET head = 'x'"]
)
def test_running_service_cannot_change_audit_rows(pool: Pool, key: SigningKey, forbidden: str) -> None:
    seal_some(pool, key, "a")
    with pool.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(forbidden.encode())


def test_seal_head_is_logged_after_the_commit(pool: Pool, key: SigningKey) -> None:
    with capture_logs() as logs:
        seal_some(pool, key, "a")
        seal_some(pool, key, "b", "c")
    said = [each for each in logs if each["event"] == "audit.sealed"]
    with pool.connection() as conn:
        kept = conn.execute("SELECT id, row_count, head, signature FROM audit_seals ORDER BY id").fetchall()
        assert audit_seals.last_seal(conn) == (kept[1][0], kept[1][2])
    assert [(each["seal_id"], each["rows"], each["head"], each["signature"]) for each in said] == kept


def test_truncated_log_is_found_by_an_anchor(pool: Pool, made: Database, key: SigningKey) -> None:
    heads = []
    for subject in ("a", "b", "c"):
        seal_some(pool, key, subject)
        with pool.connection() as conn:
            heads.append(audit_seals.last_seal(conn)[1])
    assert findings(pool, key, heads[2], heads[0]) == []
    with psycopg.connect(made.superuser_url) as conn:
        conn.execute("DELETE FROM audit_log WHERE subject = 'c'")
        conn.execute("DELETE FROM audit_seals WHERE head = %s", (heads[2],))
    assert findings(pool, key, heads[1]) == [], "the chain alone cannot show it"
    [finding] = findings(pool, key, heads[2], heads[0])
    assert finding.what == f"the log ends without {heads[2]}, which was sealed: its end was cut off"


def fill(made: Database, key: SigningKey, count: int) -> None:
    """Write so many seals of one row each."""
    previous, seals, rows = audit_seals.FIRST, [], []
    for number in range(1, count + 1):
        row = (number, NOW, "tester", "tested", str(number), {"n": 1}, None)
        root = audit_seals.merkle_root([audit_seals._leaf(row)]).hex()
        head = audit_seals._head(previous, root, 1, NOW)
        claims = {"sub": head, "previous": previous}
        signature = sign(claims, kind=TokenKind.AUDIT_SEAL, key=key, now=NOW, issuer="application")
        seals.append((number, NOW, 1, root, previous, head, signature))
        rows.append((*row[:5], json.dumps(row[5]), None, number))
        previous = head
    with psycopg.connect(made.superuser_url) as conn, conn.cursor() as cursor:
        with cursor.copy(f"COPY audit_seals ({audit_seals._SEAL}) FROM STDIN") as copy:
            for seal in seals:
                copy.write_row(seal)
        with cursor.copy(f"COPY audit_log ({audit_seals._COLUMNS}, seal_id) FROM STDIN") as copy:
            for each in rows:
                copy.write_row(each)


def test_verification_memory_does_not_grow_with_the_log(pool: Pool, made: Database, key: SigningKey) -> None:
    fill(made, key, 2500)
    tracemalloc.start()
    try:
        assert findings(pool, key) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000, "all seals at once are 4 MB"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_verifying_300_000_seals_stays_within_64_mb(pool: Pool, made: Database, key: SigningKey) -> None:
    fill(made, key, 300_000)
    before = psutil.Process().memory_info().rss
    keys, found, most = KeySet.parse({"keys": [key.jwk()]}), 0, 0
    with pool.connection() as conn, ThreadPoolExecutor(1) as watching:
        going = threading.Event()

        def watch() -> int:
            highest = 0
            while not going.wait(0.1):
                highest = max(highest, psutil.Process().memory_info().rss)
            return highest

        watched = watching.submit(watch)
        for _ in audit_seals.check(conn, keys, service="application", now=NOW, anchors=()):
            found += 1
        going.set()
        most = watched.result()
    assert found == 0
    assert most - before < 64 * 1024 * 1024


def test_command_verifies_seals_of_an_earlier_key_with_its_public_half_alone(
    pool: Pool, key: SigningKey, tmp_path: Path
) -> None:
    seal_some(pool, key, "sealed before the key was changed")
    private = ec.generate_private_key(ec.SECP256R1())
    present = SigningKey(key=private, kid=thumbprint(private.public_key()))
    seal_some(pool, present, "sealed afterwards")
    parser = argparse.ArgumentParser()
    audit_command.add_arguments(parser)
    unknown = audit_command.run(pool, "application", present, parser.parse_args([]))
    assert unknown.failed
    assert "\nseal 1: " in f"\n{unknown.text}"
    earlier = tmp_path / "application-audit-jwks.json"
    earlier.write_text(json.dumps({"keys": [key.jwk()]}))
    known = audit_command.run(pool, "application", present, parser.parse_args(["--public-keys", str(earlier)]))
    assert not known.failed
    assert "every seal fits its rows; the last is 2 " in (known.text or "")
