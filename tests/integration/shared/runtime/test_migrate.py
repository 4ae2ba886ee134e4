"""The migration runner and the rights that it leaves behind, on a real PostgreSQL."""

import contextlib
import dataclasses
import itertools
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from deploy.local import postgres as local_postgres
from deploy.postgres.roles import ROLES, SERVICES, migrations_folder
from services.identity import evidence_renewal
from shared import db
from shared.messaging import held_events
from shared.messaging.held_events import Held
from shared.messaging.inbox import Place
from shared.messaging.record import Record
from shared.operators import skip_proposals
from shared.runtime import migrate
from shared.runtime.migrate import MigrationError, NotMigrated
from shared.tx import transaction
from tests.support.engines import ROOT, Database, Postgres

_names = itertools.count(1)


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    """A database of payment's without any table."""
    with empty_database(postgres) as made:
        yield made


@contextlib.contextmanager
def empty_database(postgres: Postgres) -> Iterator[Database]:
    name = local_postgres.add_database(postgres.cluster, "payment", name=f"empty_{next(_names)}")
    yield Database(
        service="payment",
        name=name,
        url=postgres.url(name, "payment"),
        migrate_url=postgres.url(name, "payment_migrate"),
        superuser_url=postgres.cluster.url(name),
    )
    local_postgres.drop_database(postgres.cluster, name)


@pytest.fixture(scope="module")
def migrated(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One that every test of this module may look at."""
    with empty_database(postgres) as made:
        run(made, write_migrations(tmp_path_factory.mktemp("migrations")))
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_migrations(tmp_path)


def write_migrations(tmp_path: Path) -> Path:
    (tmp_path / "0001_books.sql").write_text("CREATE TABLE books (id INTEGER PRIMARY KEY);")
    (tmp_path / "0002_pages.sql").write_text(
        "CREATE TABLE pages (id INTEGER); COMMENT ON TABLE pages IS 'append-only: read and add';"
    )
    return tmp_path


def run(database: Database, folder: Path) -> list[str]:
    return migrate.migrate(database.migrate_url, migrate.load("payment", folder), runtime_role="payment")


def test_migrations_are_applied_once_and_in_order(empty: Database, folder: Path) -> None:
    assert run(empty, folder)[-2:] == ["payment/0001_books", "payment/0002_pages"]
    assert run(empty, folder) == []
    (folder / "0003_ink.sql").write_text("CREATE TABLE ink (id INTEGER);")
    assert run(empty, folder) == ["payment/0003_ink"]


def test_changed_applied_migration_is_refused(empty: Database, folder: Path) -> None:
    run(empty, folder)
    (folder / "0001_books.sql").write_text("CREATE TABLE books (id BIGINT);")
    (folder / "0003_ink.sql").write_text("CREATE TABLE ink (id INTEGER);")
    with pytest.raises(MigrationError, match="0001_books"):
        run(empty, folder)
    with psycopg.connect(empty.superuser_url) as conn:
        assert conn.execute("SELECT to_regclass('ink')").fetchone() == (None,)


@pytest.mark.parametrize("name", ["0004_ink.sql", "ink.sql", "0003-ink.sql", "0002_ink.sql"])
def test_missing_number_or_wrong_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError):
        migrate.load("payment", folder)


def test_failed_migration_is_rolled_back_and_earlier_ones_stay(empty: Database, folder: Path) -> None:
    (folder / "0003_ink.sql").write_text("CREATE TABLE ink (id INTEGER); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        run(empty, folder)
    (folder / "0003_ink.sql").write_text("CREATE TABLE ink (id INTEGER);")
    assert run(empty, folder) == ["payment/0003_ink"]


def test_concurrent_runners_apply_each_migration_once(empty: Database, folder: Path) -> None:
    applied: list[str] = []
    threads = [threading.Thread(target=lambda: applied.extend(run(empty, folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(applied) == sorted({*applied})
    assert {"payment/0001_books", "payment/0002_pages"} < {*applied}


def test_service_refuses_a_database_that_lacks_a_migration(empty: Database, folder: Path) -> None:
    with db.open_pool(empty.url, name="test") as pool:
        with pytest.raises(NotMigrated):
            migrate.wait_until_current(pool, migrate.load("payment", folder), seconds=0)
        run(empty, folder)
        migrate.wait_until_current(pool, migrate.load("payment", folder), seconds=0)
        (folder / "0003_ink.sql").write_text("SELECT 1;")
        with pytest.raises(NotMigrated, match="0003_ink"):
            migrate.require_current(pool, migrate.load("payment", folder))


def test_service_runs_on_a_newer_database(empty: Database, folder: Path) -> None:
    run(empty, folder)
    (folder / "0002_pages.sql").unlink()
    with db.open_pool(empty.url, name="test") as pool:
        migrate.require_current(pool, migrate.load("payment", folder))


def refused(database: Database, statement: str) -> bool:
    with psycopg.connect(database.url) as conn:
        try:
            conn.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id INTEGER)",
        "CREATE TEMP TABLE mine (id INTEGER)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE books ADD COLUMN x TEXT",
        "DROP TABLE books",
        "TRUNCATE books",
        "UPDATE pages SET id = 2",
        "DELETE FROM pages",
        "TRUNCATE pages",
        "UPDATE schema_migrations SET checksum = ''",
        "DELETE FROM schema_migrations",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'nobody'",
        "COPY books FROM PROGRAM 'true'",
        "SET ROLE payment_migrate",
    ],
)
def test_running_service_has_no_ddl_and_cannot_change_append_only_tables(migrated: Database, statement: str) -> None:
    assert refused(migrated, statement)


def test_running_service_reads_and_writes_its_rows(migrated: Database) -> None:
    for statement in ("INSERT INTO books VALUES (1)", "UPDATE books SET id = 2", "INSERT INTO pages VALUES (1)"):
        assert not refused(migrated, statement)


@pytest.mark.parametrize("role", [role for role in ROLES if not role.startswith("payment")])
def test_role_of_another_service_cannot_connect(postgres: Postgres, migrated: Database, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url(migrated.name, role))


def test_every_services_own_migrations_apply_twice_without_a_change(postgres: Postgres) -> None:
    for service in SERVICES:
        with postgres.database(service) as made:
            files = migrate.load(service, migrations_folder(ROOT, service))
            assert migrate.migrate(made.migrate_url, files, runtime_role=service) == []
            changed = [dataclasses.replace(file, text=file.text + " ") for file in files]
            with pytest.raises(MigrationError):
                migrate.migrate(made.migrate_url, changed, runtime_role=service)


OLD_HELD = """INSERT INTO parked_events
    (consumer, topic, key, sequence, "partition", "offset", headers, value, reason, error, code_version, parked_at)
    VALUES ('payment', 't', 'k', %s, 0, %s, %s, %s, %s, '', '', now())"""


def test_events_held_by_the_previous_release_are_recognised(empty: Database, folder: Path) -> None:
    """Even if it held the same unreadable record twice, from two places of the topic."""
    migrations = migrate.load("payment", folder)
    before = next(n for n, each in enumerate(migrations) if each.name.endswith("which_event_it_is"))
    migrate.migrate(empty.migrate_url, migrations[:before], runtime_role="payment")
    junk = Record(
        topic="t", partition=0, offset=9, key=b"k", headers=(("ce_time", b'"\xff\\'), ("x", None)), value=b"\0"
    )
    stored = '[["ce_time", "\\"%FF\\\\"], ["x", null]]'
    with psycopg.connect(empty.superuser_url) as conn:
        for offset in (1, 2):
            conn.execute(OLD_HELD, (None, offset, stored, b"\0", "no-sequence"))
        conn.execute(OLD_HELD, (5, 3, '[["ce_id", "0b7d5ac4-1de9-4cf3-a1a2-0a1f7e6d1a11"]]', b"{}", "gap"))
    migrate.migrate(empty.migrate_url, migrations, runtime_role="payment")
    place = Place(consumer="payment", topic="t", key="k")
    held = Held(place=place, sequence=None, event_id=None, reason="no-sequence", error="")
    event = replace(held, sequence=5, event_id=uuid.UUID("0b7d5ac4-1de9-4cf3-a1a2-0a1f7e6d1a11"), reason="gap")
    with psycopg.connect(empty.superuser_url) as conn:
        again = [held_events.hold(conn, each, junk, now=datetime.now(UTC), code_version="") for each in (held, event)]
        assert conn.execute("SELECT count(*) FROM parked_events").fetchone() == (3,)
    assert again == [False, False]


OLD_SKIPS = """
    INSERT INTO skip_proposals VALUES
        ('00000000-0000-4000-8000-000000000001', 'c', 7, 't', 'k', '0/9', 'forged', 'lau', now(), NULL, NULL, NULL,
         NULL),
        ('00000000-0000-4000-8000-000000000002', 'c', 7, 't', 'k', '0/9', 'forged', 'lau', now(), 'confirmed', 'ng',
         now(), 'seen'),
        ('00000000-0000-4000-8000-000000000003', 'c', 7, 't', 'k', '0/9', 'forged', 'lau', now(), 'turned-down', 'lau',
         now(), 'mine')"""


def test_skips_proposed_before_there_was_one_table_are_kept(empty: Database, folder: Path) -> None:
    migrations = migrate.load("payment", folder)
    before = next(n for n, each in enumerate(migrations) if each.name == "0013_proposals")
    migrate.migrate(empty.migrate_url, migrations[:before], runtime_role="payment")
    with psycopg.connect(empty.superuser_url) as conn:
        conn.execute(OLD_SKIPS)
    migrate.migrate(empty.migrate_url, migrations, runtime_role="payment")
    with psycopg.connect(empty.superuser_url) as conn:
        assert list(skip_proposals.find_open(conn)) == [7]
        [proposal] = skip_proposals.find_open(conn).values()
        assert (proposal.subject, proposal.content["topic"], proposal.reason) == ("k", "t", "forged")
        decided = conn.execute("SELECT decision, decided_by, decision_reason FROM proposals ORDER BY id").fetchall()
    assert decided == [(None, None, None), ("approved", "ng", "seen"), ("rejected", "lau", "mine")]


OLD_EVIDENCE = """
    INSERT INTO evidence_proposals VALUES
        ('00000000-0000-4000-8000-000000000001', 'organisation', 'harbour', '2026-11-20T00:00:00Z', 'Extract', 'KWOK',
         'soon', 'lau', now(), NULL, NULL, NULL, NULL)"""


def test_evidence_proposed_before_there_was_one_table_can_be_decided_on(postgres: Postgres) -> None:
    with empty_database(postgres) as made:
        migrations = migrate.load("identity", migrations_folder(ROOT, "identity"))
        before = next(n for n, each in enumerate(migrations) if each.name == "0012_one_table_of_proposals")
        migrate.migrate(made.migrate_url, migrations[:before], runtime_role="payment")
        with psycopg.connect(made.superuser_url) as conn:
            conn.execute(OLD_EVIDENCE)
        migrate.migrate(made.migrate_url, migrations, runtime_role="payment")
        with db.open_pool(made.superuser_url, name="test", max_size=1) as pool, transaction(pool) as tx:
            proposal = uuid.UUID("00000000-0000-4000-8000-000000000001")
            proposed = evidence_renewal.reject(tx, proposal, actor="ng", reason="a mistake")
    assert (proposed.kind, proposed.subject, proposed.evidence.checker) == ("organisation", "harbour", "KWOK")
    assert proposed.evidence.verified_at == datetime(2026, 11, 20, tzinfo=UTC)
