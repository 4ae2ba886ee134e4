"""PostgreSQL connections: one pool per process, bounded waits, UTC."""

from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

Conn = psycopg.Connection[tuple[Any, ...]]
Pool = ConnectionPool[Conn]


def answers(pool: Pool) -> bool:
    """Whether the database can be used just now."""
    try:
        with pool.connection() as conn:
            conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def open_pool(url: str, *, name: str, max_size: int = 8, wait: float = 5.0) -> Pool:
    """Open a pool; a caller waits `wait` seconds at most for a connection.

    Call it after the process has forked. Raises psycopg.OperationalError when the wait is over.
    Connections are checked before use: without that each one fails once after a restart of the server.
    """
    pool: Pool = ConnectionPool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=wait,
        max_idle=60,
        reconnect_timeout=30,
        check=ConnectionPool.check_connection,
        kwargs={"application_name": name, "options": "-c timezone=UTC"},
        open=False,
    )
    pool.open()
    return pool
