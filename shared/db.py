"""PostgreSQL connections: one pool per process, bounded waits, UTC; and the failures that mean "unavailable"."""

from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from shared.errors import Unavailable

Conn = psycopg.Connection[tuple[Any, ...]]
Pool = ConnectionPool[Conn]

# Failures of the database or of another dependency, never of the current request, event or row: answer 503, or pause
# and retry. psycopg counts the effects of a failover (a read-only server, an ended session) among the internal errors.
# One tuple for web, consumer, relay, work and desk.
UNAVAILABLE: Final = (
    Unavailable,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)


class ReadOnlyDatabase(psycopg.OperationalError):
    """The server accepts reads only: a former primary."""


def answers(pool: Pool) -> bool:
    """Return whether the database can be used now; written to, unless the pool is a reading one."""
    try:
        with pool.connection() as conn:
            conn.execute("SELECT 1")
    except UNAVAILABLE:
        return False
    return True


def open_pool(url: str, *, name: str, max_size: int = 8, wait: float = 5.0, writes: bool = True) -> Pool:
    """Open a pool; a caller waits at most `wait` seconds for a connection.

    Call it after the process has forked. Raises psycopg.OperationalError when the wait is over. Connections are checked
    before use: otherwise each would fail once after a restart of the server. With `writes`, a connection that cannot
    write is dropped, so after a failover the pool finds the new primary.
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
    """Raise an error if the connection is broken or cannot write; one round trip, outside any transaction."""
    conn.autocommit = True
    row = conn.execute("SHOW transaction_read_only").fetchone()
    if row != ("off",):
        conn.close()  # the pool drops closed connections, not those that merely fail the check
        raise ReadOnlyDatabase("the database accepts reads only")
    conn.autocommit = False
