"""SQLite store of the sandbox: sessions, refunds, stored answers, ordered faults, queued webhooks."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    page_token TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    description TEXT NOT NULL,
    return_url TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'captured', 'cancelled', 'expired')),
    captured_minor INTEGER NOT NULL DEFAULT 0,
    refunded_minor INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor <= captured_minor),
    captured_at REAL,
    expires_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_reference ON sessions (reference);
CREATE TABLE IF NOT EXISTS declines (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions,
    reason TEXT NOT NULL,
    declined_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS declines_session ON declines (session_id);
CREATE TABLE IF NOT EXISTS refunds (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions,
    reference TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    refunded_at REAL NOT NULL,
    status TEXT NOT NULL DEFAULT 'succeeded'
);
CREATE INDEX IF NOT EXISTS refunds_reference ON refunds (reference);
CREATE TABLE IF NOT EXISTS answers (
    idempotency_key TEXT PRIMARY KEY,
    request_sha256 TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS effects (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('session', 'capture', 'refund')),
    idempotency_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    amount_minor INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS effects_reference ON effects (reference);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY,
    operation TEXT NOT NULL,
    kind TEXT NOT NULL,
    remaining INTEGER NOT NULL,
    seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY,
    webhook_id TEXT NOT NULL,
    body TEXT NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    last_status INTEGER
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at) WHERE NOT delivered;
"""


@dataclass(frozen=True)
class Store:
    """A SQLite file. A connection lives for one transaction, so threads share nothing."""

    path: Path

    def prepare(self) -> None:
        """Create the tables, unless they exist."""
        with closing(self._connect()) as conn:
            conn.execute("PRAGMA journal_mode = WAL")
            conn.executescript(SCHEMA)
            if "status" not in {row["name"] for row in conn.execute("PRAGMA table_info(refunds)")}:
                conn.execute("ALTER TABLE refunds ADD COLUMN status TEXT NOT NULL DEFAULT 'succeeded'")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a writing transaction; it takes the write lock at once, so its reads stay valid."""
        with closing(self._connect()) as conn:
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                conn.execute("ROLLBACK")
                raise
            conn.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading; it never waits for a writer."""
        with closing(self._connect()) as conn:
            yield conn

    def _connect(self) -> sqlite3.Connection:
        conn = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        conn.row_factory = sqlite3.Row
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA synchronous = NORMAL")
        return conn
