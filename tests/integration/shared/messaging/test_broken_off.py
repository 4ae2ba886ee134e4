"""Batches that PostgreSQL itself breaks off: a deadlock or a statement that takes too long."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from shared import audit
from shared.db import UNAVAILABLE, Pool
from shared.events.payment import PaymentDeclined
from shared.lifecycle import Lifecycle
from shared.messaging.subscriptions import on
from shared.runtime.service import applier
from shared.runtime.task_loop import run_tasks
from shared.tx import Tx, transaction
from tests.integration.shared.conftest import NOW, Handler, Writer
from tests.integration.shared.messaging.test_inbox import Applied, held_event, held_reason
from tests.integration.shared.web.small_client import NOTES, headers
from tests.integration.shared.web.small_service import make_app
from tests.support.engines import wait_until

Trouble = Callable[[Tx, str], object]


def deadlock(tx: Tx, url: str) -> None:
    """Wait for a lock whose holder then waits for ours; PostgreSQL ends the session that has waited longest."""
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
    """Run a statement beyond the timeout."""
    tx.conn.execute("SET LOCAL statement_timeout = '50ms'")
    tx.conn.execute("SELECT pg_sleep(5)")


def read_only(tx: Tx, url: str) -> None:
    """Make the primary read-only: the connection stays, and nothing can be written."""
    tx.conn.execute("SELECT set_config('transaction_read_only', 'on', true)")
    tx.conn.execute("UPDATE inbox SET held_reason = held_reason")


def idle_too_long(tx: Tx, url: str) -> None:
    """Let the server end a session that is idle in a transaction."""
    tx.conn.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
    time.sleep(0.3)  # longer than the server's limit
    tx.conn.execute("SELECT 1")


def too_long(tx: Tx, url: str) -> None:
    """Let the server end a transaction that takes too long."""
    tx.conn.execute("SET LOCAL transaction_timeout = '50ms'")
    tx.conn.execute("SELECT pg_sleep(5)")


def ended(tx: Tx, url: str) -> None:
    """Terminate the session, as the server or an operator does."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (tx.conn.info.backend_pid,))
    tx.conn.execute("SELECT pg_sleep(5)")


TROUBLES = [
    pytest.param(deadlock, psycopg.errors.DeadlockDetected, id="40P01"),
    pytest.param(slowness, psycopg.errors.QueryCanceled, id="57014"),
    pytest.param(read_only, psycopg.errors.ReadOnlySqlTransaction, id="25006"),
    pytest.param(idle_too_long, psycopg.errors.IdleInTransactionSessionTimeout, id="25P03"),
    pytest.param(too_long, psycopg.errors.TransactionTimeout, id="25P04"),
    pytest.param(ended, psycopg.errors.AdminShutdown, id="57P01"),
]


@dataclass
class InTrouble:
    """The handler, in trouble with the second event, once."""

    handler: Handler
    trouble: Trouble
    url: str
    over: bool = False

    def __call__(self, tx: Tx, event: PaymentDeclined) -> None:
        self.handler(tx, event)
        if event.reason == "2" and not self.over:
            self.over = True
            self.trouble(tx, self.url)


@pytest.mark.parametrize(("trouble", "error"), TROUBLES)
def test_batch_of_a_broken_connection_is_rolled_back_and_applied_later(
    pool: Pool, applied: Applied, handler: Handler, writer: Writer, trouble: Trouble, error: type[Exception]
) -> None:
    assert isinstance(pool.conninfo, str)
    steered = InTrouble(handler, trouble, pool.conninfo)
    apply = applier("application", (on(PaymentDeclined, steered),), clock=lambda: NOW)
    records = [writer.record(1), writer.record(2)]
    with pytest.raises(error) as raised, pool.connection() as conn, conn.transaction():
        apply.batch(conn, records)
    assert isinstance(raised.value, UNAVAILABLE), "the consumer pauses"
    assert applied(writer) == []
    assert held_event(pool, writer) == []
    with pool.connection() as conn, conn.transaction():
        apply.batch(conn, records)
    assert applied(writer) == ["1", "2"]
    assert held_reason(pool, writer) is None


@pytest.mark.parametrize(("trouble", "error"), TROUBLES)
def test_broken_connection_makes_a_request_503_and_a_task_retry(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, trouble: Trouble, error: type[Exception]
) -> None:
    assert isinstance(pool.conninfo, str)
    url, life = pool.conninfo, Lifecycle()

    def task() -> bool:
        life.end()
        with transaction(pool) as tx:
            trouble(tx, url)
        return True

    with capture_logs() as logs:
        run_tasks([("troubled", task)], life)
        monkeypatch.setattr(audit, "record", lambda tx, **_: trouble(tx, url))
        answer = make_app(pool).test_client().post(NOTES, json={"text": "x"}, headers=headers())
    assert [each["error"].partition(":")[0] for each in logs if each["event"] == "work.unavailable"] == [error.__name__]
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
