"""Logs of a process: JSON lines, its start and end, each event it applied, and no secret."""

import json
from pathlib import Path
from typing import Any

from shared.db import Pool
from tests.faults.shared.kit import announce, applied, new_keys, new_neighbours, running_relay, unsent, wait_for_inbox
from tests.faults.shared.started import environment, seconds_to_end, started
from tests.support.engines import Database, Kafka, free_port, wait_until


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the log lines; each must be JSON."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def of(log: Path, event: str) -> list[dict[str, Any]]:
    return [line for line in lines(log) if line["event"] == event]


def test_consumer_logs_its_start_each_applied_event_and_its_stop(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool, tmp_path: Path
) -> None:
    keys, log = new_keys(2), tmp_path / "log"
    announce(writer, keys, each=2)
    env = environment(topic, reader_database, LOG_LEVEL="INFO")
    with running_relay(topic, writer), started("reader", "consume", env=env, log=log) as process:
        wait_for_inbox(reader, keys, 2)
        seconds_to_end(process)

    first, *_, last = lines(log)
    assert (first["event"], last["event"]) == ("process.started", "process.stopped")
    assert first["settings"]["kafka"]["username"] == "application"
    assert first["settings"]["database"].startswith("application@127.0.0.1:")
    assert {line["service"] for line in lines(log)} == {"application"}
    told = of(log, "event.applied")
    assert sorted((each["subject"], each["sequence"]) for each in told) == sorted(
        (str(key), number) for key in keys for number in (1, 2)
    )
    assert {each["type"] for each in told} == {"hk.ecert.payment.payment-declined.v1"}
    assert len({each["event_id"] for each in told}) == 4
    for secret in (topic.passwords["application"], reader_database.url):
        assert secret not in log.read_text()


def test_rolled_back_event_is_logged_once_it_is_applied(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool, tmp_path: Path
) -> None:
    good, bad = new_neighbours()
    log = tmp_path / "log"
    announce(writer, [good])
    announce(writer, [bad], reason="unavailable")
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=20, what="all is sent")
    env = environment(topic, reader_database, LOG_LEVEL="INFO")
    with started("reader", "consume", env=env, log=log) as process:
        wait_until(lambda: len(of(log, "waiting.failed")) > 1, limit=40, what="the bad one waits alone")
        seconds_to_end(process)

    assert applied(reader) == {str(good): 1}
    assert [each["subject"] for each in of(log, "event.applied")] == [str(good)]


def test_fatal_error_is_logged_in_json_and_sets_the_exit_status(
    topic: Kafka, reader_database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    env = environment(topic, reader_database, LOG_LEVEL="INFO", ADMIN_PORT=str(70_000))
    with started("reader", "consume", env=env, log=log) as process:
        assert process.wait(30) == 1

    assert [line["event"] for line in lines(log)] == ["process.started", "process.failed", "process.stopped"]
    assert "OverflowError" in of(log, "process.failed")[0]["exception"]


def test_debug_level_logs_every_batch(
    topic: Kafka, writer: Pool, writer_database: Database, reader_database: Database, reader: Pool, tmp_path: Path
) -> None:
    keys = new_keys(3)
    announce(writer, keys)
    logs = {who: tmp_path / who for who in ("writer", "reader")}
    env = {
        "writer": environment(topic, writer_database, LOG_LEVEL="DEBUG"),
        "reader": environment(topic, reader_database, LOG_LEVEL="DEBUG", ADMIN_PORT=str(free_port())),
    }
    with (
        started("writer", "relay", env=env["writer"], log=logs["writer"]) as relay,
        started("reader", "consume", env=env["reader"], log=logs["reader"]) as consumer,
    ):
        wait_for_inbox(reader, keys, 1)
        for process in (relay, consumer):
            seconds_to_end(process)

    assert sum(each["events"] for each in of(logs["writer"], "relay.batch")) == 3
    assert sum(each["events"] for each in of(logs["reader"], "consumer.batch")) == 3
