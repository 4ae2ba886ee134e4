"""Migrations: numbered SQL files, forward only, each applied once, in order, under a lock, with checksums."""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from shared.db import UNAVAILABLE, Conn, Pool
from shared.errors import Unavailable

_LOCK: Final = 0x6D69_6772
_FILE: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
SHARED: Final = Path(__file__).parents[1] / "migrations"


class MigrationError(Exception):
    """Files and database contradict each other; nothing was changed."""


class NotMigrated(Unavailable):
    """The database lacks migrations that this code needs."""

    reason = "not-migrated"


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A migration file. `source` is "shared" or the service's name."""

    source: str
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load(service: str, folder: Path) -> list[Migration]:
    """Return the shared migrations, then the service's. Raises MigrationError for a misnamed file or a gap."""
    return [*_load("shared", SHARED), *_load(service, folder)]


def _load(source: str, folder: Path) -> list[Migration]:
    found = []
    for number, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise MigrationError(f"{path.name} is not number {number:04d} of {source}")
        found.append(Migration(source=source, number=number, name=path.stem, text=path.read_text("utf-8")))
    return found


def migrate(url: str, migrations: Sequence[Migration], *, runtime_role: str) -> list[str]:
    """Apply missing migrations, and grant the running service its rights. Returns the names of the applied ones.

    Raises MigrationError for a changed file, psycopg.Error if a statement fails or waits too long.
    """
    applied = []
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET lock_timeout = '4s'")
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        conn.execute("SET statement_timeout = '5s'")
        _make_table(conn)
        known = _applied(conn)
        for migration in migrations:
            if _is_applied(migration, known):
                continue
            with conn.transaction():
                conn.execute(migration.text.encode())
                conn.execute(
                    "INSERT INTO schema_migrations (source, number, name, checksum) VALUES (%s, %s, %s, %s)",
                    (migration.source, migration.number, migration.name, migration.checksum),
                )
            applied.append(f"{migration.source}/{migration.name}")
        with conn.transaction():
            _grant(conn, runtime_role)
    return applied


def _make_table(conn: Conn) -> None:
    conn.execute(
        """CREATE TABLE IF NOT EXISTS schema_migrations (
               source TEXT, number INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
               applied_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (source, number))"""
    )


def _applied(conn: Conn) -> dict[tuple[str, int], str]:
    rows = conn.execute("SELECT source, number, checksum FROM schema_migrations").fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def _is_applied(migration: Migration, known: dict[tuple[str, int], str]) -> bool:
    checksum = known.get((migration.source, migration.number))
    if checksum is not None and checksum != migration.checksum:
        raise MigrationError(f"{migration.source}/{migration.name} was changed after it had been applied")
    return checksum is not None


def _grant(conn: Conn, role: str) -> None:
    """Grant the running service reading and writing of rows, without DDL; tables commented "append-only" cannot be
    changed.

    In a table "append-only, pruned" it may delete rows; in one "append-only but for: …" it may change these columns.
    """
    name = sql.Identifier(role)
    tables = conn.execute(
        """SELECT c.relname, COALESCE(obj_description(c.oid), '') FROM pg_class AS c
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"""
    ).fetchall()
    for table, comment in tables:
        target = sql.Identifier(table)
        conn.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(target, name))
        conn.execute(sql.SQL("GRANT {} ON {} TO {}").format(_rights(table, comment), target, name))
    conn.execute(sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(name))


def _rights(table: str, comment: str) -> sql.Composable:
    if table == "schema_migrations":
        return sql.SQL("SELECT")
    if not comment.startswith("append-only"):
        return sql.SQL("SELECT, INSERT, UPDATE, DELETE")
    _, _, columns = comment.partition("append-only but for: ")
    changeable = [sql.SQL("UPDATE ({})").format(sql.Identifier(column)) for column in columns.split(", ") if column]
    deletable = [sql.SQL("DELETE")] if comment.startswith("append-only, pruned") else []
    return sql.SQL(", ").join([sql.SQL("SELECT"), sql.SQL("INSERT"), *changeable, *deletable])


def require_current(pool: Pool, migrations: Sequence[Migration]) -> None:
    """Refuse a database that lacks a migration; a newer one is accepted. Raises NotMigrated."""
    try:
        with pool.connection() as conn:
            known = _applied(conn)
    except psycopg.errors.UndefinedTable as error:
        raise NotMigrated("the database has no migrations at all") from error
    if missing := [f"{m.source}/{m.name}" for m in migrations if not _is_applied(m, known)]:
        raise NotMigrated(", ".join(missing))


def wait_until_current(pool: Pool, migrations: Sequence[Migration], *, seconds: float = 60.0) -> None:
    """Wait for the database to be up and migrated. Raises the obstacle when the time is over."""
    until = time.monotonic() + seconds
    while True:
        try:
            return require_current(pool, migrations)
        except UNAVAILABLE:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
