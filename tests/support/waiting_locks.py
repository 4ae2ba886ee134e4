"""Deadlocks provoked on a real PostgreSQL: who waits for a row gets it in the order in which they came."""

import threading
import time
from collections.abc import Callable

from shared.db import Pool


def waiters(pool: Pool) -> int:
    """Return how many sessions of this database wait for a row's lock."""
    with pool.connection() as conn:
        row = conn.execute(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"""
        ).fetchone()
    assert row is not None
    return int(row[0])


def queue_up(pool: Pool, held: str, *bodies: Callable[[], None]) -> list[BaseException]:
    """Run the bodies against a row that the statement `held` locks, one after the other behind it; then let go.

    Returns what they raised.
    """
    raised: list[BaseException] = []

    def run(body: Callable[[], None]) -> None:
        try:
            body()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    with pool.connection() as conn, conn.transaction():
        assert conn.execute(held.encode()).fetchone() is not None
        for number, thread in enumerate(threads, start=1):
            thread.start()
            deadline = time.monotonic() + 10
            while waiters(pool) < number and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
    for thread in threads:
        thread.join(20)
    return raised
