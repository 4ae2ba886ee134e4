"""PostgreSQL connections: one pool per process, bounded waits, UTC; and which failures mean "not available"."""

from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from shared.errors import Unavailable

Conn = psycopg.Connection[tuple[Any, ...]]
Pool = ConnectionPool[Conn]

# Failures of the database or of another dependency, never of the request, event or row in hand: answer 503, pause, try
# again. psycopg counts what a failover leaves behind (a server that only answers reads, a session that was ended) among
# the internal errors. One tuple for web, consumer, relay, work and desk.
UNAVAILABLE: Final = (
    Unavailable,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)


class ReadOnlyDatabase(psycopg.OperationalError):
    """The server accepts reads only: the address of a primary that is one no more."""


def answers(pool: Pool) -> bool:
    """Return whether the database can be used just now: written to, unless the pool is one for reading."""
    try:
        with pool.connection() as conn:
            conn.execute("SELECT 1")
    except UNAVAILABLE:
        return False
    return True


def open_pool(url: str, *, name: str, max_size: int = 8, wait: float = 5.0, writes: bool = True) -> Pool:
    """Open a pool; a caller waits `wait` seconds at most for a connection.

    Call it after the process has forked. Raises psycopg.OperationalError when the wait is over.
    Connections are checked before use: without that each one fails once after a restart of the server. One that
    cannot write is dropped, unless nobody `writes`: after a failover the pool finds the new primary by itself.
    """
    pool: Pool = ConnectionPool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=wait,
        max_idle=60,
        reconnect_timeout=30,
        check=_check_writable if writes else ConnectionPool.check_connection,
        kwargs={"application_name": name, "options": "-c timezone=UTC"},
        open=False,
    )
    pool.open()
    return pool


def _check_writable(conn: Conn) -> None:
    """Raise an error if the connection is broken or cannot write; one round trip, in no transaction."""
    conn.autocommit = True
    row = conn.execute("SHOW transaction_read_only").fetchone()
    if row != ("off",):
        conn.close()  # the pool drops a connection that is closed, not one that merely failed the check
        raise ReadOnlyDatabase("the database accepts reads only")
    conn.autocommit = False
