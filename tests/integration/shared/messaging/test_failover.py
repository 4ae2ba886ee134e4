"""After a failover the old address may answer reads only: nothing is lost or held, and all goes on by itself."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from kafka import TopicPartition
from structlog.testing import capture_logs

from shared import db
from shared.db import Pool
from shared.lifecycle import Lifecycle
from shared.messaging import relay
from shared.messaging.applier import Applier
from shared.messaging.consumer import Consumer
from shared.runtime.task_loop import run_tasks
from shared.tx import transaction
from tests.integration.shared.conftest import Writer
from tests.integration.shared.messaging.test_outbox import KEY as RENEWAL
from tests.integration.shared.messaging.test_outbox import FakeKafka, announce, sent
from tests.integration.shared.web.small_client import NOTES, headers
from tests.integration.shared.web.small_service import make_app
from tests.support.engines import Database, Postgres, wait_until


@dataclass(frozen=True)
class Server:
    """A database that can be demoted: every new session may read only."""

    postgres: Postgres
    database: Database

    def demote(self, *, sessions: bool = True) -> None:
        """Answer reads only; without `sessions`, those that are open stay as they are."""
        self._set("SET default_transaction_read_only = on", sessions)

    def promote(self) -> None:
        self._set("RESET default_transaction_read_only", True)

    def _set(self, what: str, sessions: bool) -> None:
        with psycopg.connect(self.postgres.cluster.url("postgres"), autocommit=True) as conn:
            conn.execute(f"ALTER DATABASE {self.database.name} {what}".encode())
            if sessions:
                conn.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                    (self.database.name,),
                )


@pytest.fixture
def server(postgres: Postgres, database: Callable[[str], Database]) -> Iterator[Server]:
    made = Server(postgres, database("application"))
    yield made
    made.promote()


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with db.open_pool(server.database.url, name="test", wait=1.0) as opened:
        yield opened


@contextlib.contextmanager
def looping(body: Callable[[Lifecycle], None]) -> Iterator[None]:
    life = Lifecycle()
    thread = threading.Thread(target=body, args=(life,))
    thread.start()
    try:
        yield
    finally:
        life.end()
        thread.join(20)
        assert not thread.is_alive()


def test_pooled_connection_that_cannot_write_is_dropped(server: Server, pool: Pool) -> None:
    with pool.connection() as conn:
        before = conn.info.backend_pid
        conn.execute("SET default_transaction_read_only = on")
    with pool.connection() as conn:
        assert conn.info.backend_pid != before
        conn.execute("DELETE FROM idempotency_keys")


def test_web_answers_503_and_is_not_ready_until_the_database_can_be_written(server: Server, pool: Pool) -> None:
    client = make_app(pool).test_client()
    assert client.post(NOTES, json={"text": "x"}, headers=headers()).status_code == 201
    server.demote()
    answer = client.post(NOTES, json={"text": "x"}, headers=headers())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json()["type"] == "urn:ecert:problem:unavailable"
    assert not db.answers(pool)
    server.promote()
    wait_until(lambda: db.answers(pool), limit=15, what="it is ready again")
    assert client.post(NOTES, json={"text": "x"}, headers=headers()).status_code == 201


def test_pool_for_reading_works_on_a_standby(server: Server) -> None:
    server.demote()
    with db.open_pool(server.database.url, name="reads", wait=1.0, writes=False) as reads:
        assert db.answers(reads)


def test_relay_pauses_and_resumes(server: Server, pool: Pool) -> None:
    kafka = FakeKafka()
    with capture_logs() as logs, looping(lambda life: relay.run(pool, lambda: kafka, life)):
        server.demote()
        wait_until(lambda: "relay.database_failed" in {each["event"] for each in logs}, limit=15, what="it has noticed")
        server.promote()
        wait_until(lambda: db.answers(pool), limit=15, what="the database can be written")
        announce(pool, RENEWAL)
        wait_until(lambda: sent(pool, RENEWAL) == [True], limit=15, what="it is sent")


def test_work_loop_pauses_and_resumes(server: Server, pool: Pool) -> None:
    def task() -> bool:
        with transaction(pool) as tx:
            tx.conn.execute("UPDATE inbox SET held_reason = held_reason")
            turns.append(time.monotonic())
        return False

    turns: list[float] = []
    with capture_logs() as logs, looping(lambda life: run_tasks([("writes", task)], life)):
        server.demote()
        wait_until(lambda: "work.unavailable" in {each["event"] for each in logs}, limit=15, what="it has noticed")
        server.promote()
        promoted = time.monotonic()
        wait_until(lambda: turns and turns[-1] > promoted, limit=15, what="it goes on")
    assert "work.failed" not in {each["event"] for each in logs}


class OneBatch:
    """A Kafka consumer that has one batch, and then nothing."""

    def __init__(self) -> None:
        self.committed = False

    def assignment(self) -> set[TopicPartition]:
        return set()

    def pause(self, *partitions: object) -> None: ...

    def resume(self, *partitions: object) -> None: ...

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[object]]:
        return {}

    def commit(self, offsets: object, timeout_ms: int) -> None:
        self.committed = True


def test_consumer_pauses_holds_nothing_and_resumes(server: Server, pool: Pool, apply: Applier, writer: Writer) -> None:
    kafka, life = OneBatch(), Lifecycle()
    consumer = Consumer(kafka, pool, apply, life)
    record = writer.record(1)
    server.demote()
    promoting = threading.Timer(1.5, server.promote)
    promoting.start()
    with capture_logs() as logs:
        while not consumer._apply([record]):
            time.sleep(0.1)
    promoting.join()
    assert "consumer.failed" in {each["event"] for each in logs}
    with pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM parked_events").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM audit_log WHERE actor = 'test'").fetchone() == (1,)
