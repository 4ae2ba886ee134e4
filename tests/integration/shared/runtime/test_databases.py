"""A database that a test has used is given to the next one only if it is as its migrations left it."""

import psycopg
import pytest

from tests.support.engines import Database, Postgres

TAKEN_AND_WRITTEN = """
INSERT INTO crls (number, tbs, this_update) VALUES (7, ''::bytea, now());
UPDATE feeds SET last_position = 9;
DELETE FROM crl_series;
SELECT nextval(pg_get_serial_sequence('outbox', 'id'))"""


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, and where every sequence stands."""
    with psycopg.connect(database.superuser_url) as conn:
        tables = [name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        found = {table: conn.execute(f"SELECT * FROM {table}".encode()).fetchall() for table in sorted(tables)}
        found["sequences"] = conn.execute("SELECT * FROM pg_sequences ORDER BY sequencename").fetchall()
    return found


def use(postgres: Postgres, change: str) -> tuple[Database, Database]:
    """Return a database in which this was done, and the next one."""
    with postgres.database("issuance") as first, psycopg.connect(first.superuser_url) as conn:
        conn.execute(change.encode())
        conn.commit()
    with postgres.database("issuance") as second:
        return first, second


def test_reused_database_has_only_the_rows_of_the_migrations(postgres: Postgres) -> None:
    with postgres.database("issuance") as one, postgres.database("issuance") as other:
        before = contents(other)
        assert one.name != other.name
    first, second = use(postgres, TAKEN_AND_WRITTEN)
    assert second.name == first.name
    assert contents(second) == before
    assert before["feeds"], "there is something to bring back"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE orders ADD COLUMN x INT",
        "ALTER TABLE orders ALTER COLUMN state DROP NOT NULL",
        "ALTER TABLE orders ALTER COLUMN due_at SET DEFAULT now()",
        "ALTER TABLE orders ADD CONSTRAINT mistake CHECK (true)",
        "ALTER TABLE orders DISABLE TRIGGER ALL",
        "GRANT DELETE ON audit_log TO issuance",
        "CREATE TABLE mine ()",
        "CREATE INDEX ON orders (due_at)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO payment', current_database()); END $$",
    ],
)
def test_database_with_a_changed_schema_is_not_reused(postgres: Postgres, change: str) -> None:
    first, second = use(postgres, change)
    assert second.name != first.name
    with psycopg.connect(postgres.cluster.url("postgres")) as conn:
        assert conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (first.name,)).fetchone() is None
