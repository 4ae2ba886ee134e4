"""What PostgreSQL itself breaks off in the middle of a batch, a deadlock or a statement that takes too long."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from shared.db import Pool
from shared.events.payment import PaymentDeclined
from shared.main import applier
from shared.subscriptions import on
from shared.tx import Tx
from tests.engines import wait_until
from tests.integration.plumbing.conftest import NOW, Handler, Writer
from tests.integration.plumbing.test_inbox import Applied, held_reason, parked

Trouble = Callable[[Tx, str], object]


def deadlock(tx: Tx, url: str) -> None:
    """Wait for a lock whose holder then waits for ours; PostgreSQL ends whoever has waited longest."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(1)")
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(2)")
        crossing = threading.Thread(target=cross, args=(other, url), daemon=True)
        crossing.start()
        try:
            tx.conn.execute("SELECT pg_advisory_xact_lock(2)")
        finally:
            other.cancel_safe()
            crossing.join(20)
            other.rollback()


def cross(other: psycopg.Connection[Any], url: str) -> None:
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND NOT granted"
    with psycopg.connect(url, autocommit=True) as look:
        wait_until(lambda: look.execute(waits).fetchone(), limit=10, what="the handler waits")
    with contextlib.suppress(psycopg.errors.QueryCanceled):
        other.execute("SELECT pg_advisory_xact_lock(1)")


def slowness(tx: Tx, url: str) -> None:
    """A statement that is not done in its time."""
    tx.conn.execute("SET LOCAL statement_timeout = '50ms'")
    tx.conn.execute("SELECT pg_sleep(5)")


@dataclass
class InTrouble:
    """The handler, in trouble with the second event, once."""

    handler: Handler
    trouble: Trouble
    url: str
    over: bool = False

    def __call__(self, event: PaymentDeclined, tx: Tx) -> None:
        self.handler(event, tx)
        if event.reason == "2" and not self.over:
            self.over = True
            self.trouble(tx, self.url)


@pytest.mark.parametrize(
    ("trouble", "error"), [(deadlock, psycopg.errors.DeadlockDetected), (slowness, psycopg.errors.QueryCanceled)]
)
def test_the_batch_is_rolled_back_and_applied_the_next_time(
    pool: Pool, applied: Applied, handler: Handler, writer: Writer, trouble: Trouble, error: type[Exception]
) -> None:
    assert isinstance(pool.conninfo, str)
    steered = InTrouble(handler, trouble, pool.conninfo)
    apply = applier("application", (on(PaymentDeclined, steered),), clock=lambda: NOW)
    records = [writer.record(1), writer.record(2)]
    with pytest.raises(error), pool.connection() as conn, conn.transaction():
        apply.batch(conn, records)
    assert applied(writer) == []
    assert parked(pool, writer) == []
    with pool.connection() as conn, conn.transaction():
        apply.batch(conn, records)
    assert applied(writer) == ["1", "2"]
    assert held_reason(pool, writer) is None
