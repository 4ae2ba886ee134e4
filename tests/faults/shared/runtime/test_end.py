"""SIGTERM ends every loop soon, in order and with status 0, whatever it is waiting for."""

import contextlib
import ctypes
import platform
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from shared.db import Pool
from tests.faults.shared.kit import READER, announce, describe_group, new_keys, running_relay, unsent, wait_for_inbox
from tests.faults.shared.started import Process, environment, seconds_to_end, started
from tests.support.engines import Database, Kafka, free_port, wait_until

SOON = 8.0  # a supervisor kills after ten seconds


def test_relay_stops_on_sigterm(topic: Kafka, writer_database: Database, writer: Pool) -> None:
    announce(writer, new_keys(3))
    with started("writer", "relay", env=environment(topic, writer_database)) as process:
        wait_until(lambda: unsent(writer) == 0, limit=20, what="it works")
        assert seconds_to_end(process) < SOON


def test_worker_stops_between_two_rows(topic: Kafka, writer_database: Database, writer: Pool) -> None:
    def turns() -> bool:
        with writer.connection() as conn:
            return conn.execute("SELECT 1 FROM audit_log LIMIT 1").fetchone() is not None

    with started("writer", "work", env=environment(topic, writer_database)) as process:
        wait_until(turns, limit=20, what="it works")
        assert seconds_to_end(process) < SOON


def test_consumer_stops_and_leaves_its_group(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool
) -> None:
    keys = new_keys(3)
    announce(writer, keys)
    with running_relay(topic, writer), started("reader", "consume", env=environment(topic, reader_database)) as process:
        wait_for_inbox(reader, keys, 1)
        assert len(describe_group(topic, READER).members) == 1
        assert seconds_to_end(process) < SOON
    assert not describe_group(topic, READER).members


def test_consumer_stops_while_it_waits_for_a_dependency(
    topic: Kafka, writer: Pool, reader_database: Database, tmp_path: Path
) -> None:
    announce(writer, new_keys(1), reason="unavailable")
    log, env = tmp_path / "consume.log", environment(topic, reader_database)
    with running_relay(topic, writer), started("reader", "consume", env=env, log=log) as process:
        wait_until(lambda: log.read_text().count("consumer.failed") > 1, limit=30, what="it has tried and waited")
        assert seconds_to_end(process) < SOON
    assert not describe_group(topic, READER).members


def wait_until_it_lives(port: int) -> None:
    """Wait until its own page answers: it has taken the signals over and waits for what is away."""

    def look() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    wait_until(look, limit=30, what="it lives")


@pytest.mark.parametrize(("who", "command"), [("writer", "relay"), ("reader", "consume")])
def test_process_stops_while_kafka_is_unavailable_at_start(
    topic: Kafka, writer_database: Database, reader_database: Database, who: str, command: str
) -> None:
    own = writer_database if who == "writer" else reader_database
    port = free_port()
    away = environment(topic, own, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}", ADMIN_PORT=str(port))
    with started(who, command, env=away) as process:
        wait_until_it_lives(port)
        assert process.poll() is None, "it waits"
        assert seconds_to_end(process) < SOON


def signal_beside_the_main_thread(process: Process) -> None:
    """Set the flag as a signal does just before the main thread sleeps: nothing wakes that thread."""
    others = [thread.id for thread in psutil.Process(process.pid).threads() if thread.id != process.pid]
    tgkill = 234 if platform.machine() == "x86_64" else 131
    assert ctypes.CDLL(None).syscall(tgkill, process.pid, others[0], signal.SIGTERM) == 0


def test_consumer_not_woken_by_a_signal_stops_soon_while_kafka_is_unavailable(
    topic: Kafka, reader_database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "consume.log"
    away = environment(topic, reader_database, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}", LOG_LEVEL="INFO")
    with started("reader", "consume", env=away, log=log) as process:
        wait_until(lambda: "Bootstrap" in log.read_text(), limit=30, what="it waits for Kafka")
        begun = time.monotonic()
        signal_beside_the_main_thread(process)
        assert process.wait(30) == 0
        assert time.monotonic() - begun < SOON


def test_process_stops_while_the_database_is_unavailable_at_start(topic: Kafka, reader_database: Database) -> None:
    url = f"postgresql://application:x@127.0.0.1:{free_port()}/application"
    port = free_port()
    away = environment(topic, reader_database, APPLICATION_DATABASE_URL=url, ADMIN_PORT=str(port))
    with started("reader", "consume", env=away) as process:
        wait_until_it_lives(port)
        assert process.poll() is None, "it waits"
        assert seconds_to_end(process) < SOON
