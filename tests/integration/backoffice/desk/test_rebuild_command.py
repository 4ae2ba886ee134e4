"""`rebuild` and `state` as an operator runs them, from a real Kafka with the desk's own rights there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer

from backoffice.desk.projection import READ
from deploy.local import kafka as local_kafka
from shared.messaging.record import Record
from tests.integration.backoffice.desk.world import Renewal, World
from tests.support.builders import signing_key
from tests.support.engines import Kafka


@pytest.fixture
def environment(world: World, kafka: Kafka, tmp_path: Path) -> dict[str, str]:
    """Environment of the desk's processes."""
    files = {f"{owner.upper()}_JWKS_FILE": owner for owner in ("identity", "application", "payment", "feed")}
    for owner in files.values():
        (tmp_path / owner).write_text(json.dumps({"keys": [signing_key(owner).jwk()]}))
    unused = ("STAFF_CA_FILE", "STAFF_CRL_FILE", "AUDIT_KEY_FILE", "FINGERPRINT_KEY_FILE")
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "local",
        "LOG_LEVEL": "WARNING",
        "DESK_URL": "https://desk.ecert.localhost",
        "DESK_DATABASE_URL": str(world.pool.conninfo),
        **{variable: str(tmp_path / owner) for variable, owner in files.items()},
        **dict.fromkeys(unused, "unused"),
        **kafka.environment("desk"),
    }


@pytest.fixture
def topics(kafka: Kafka) -> Iterator[Kafka]:
    """Empty ones, and empty again afterwards."""
    kafka.empty(*READ)
    yield kafka
    kafka.empty(*READ)


def publish(kafka: Kafka, records: list[Record]) -> None:
    with closing(KafkaProducer(**kafka.settings(local_kafka.ADMIN))) as producer:
        for each in records:
            headers = [(name, value) for name, value in each.headers if value is not None]
            producer.send(each.topic, key=each.key, value=each.value, headers=headers, partition=each.partition)
        producer.flush(30)


def command(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "backoffice.desk.main", *arguments]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_rebuild_command_gives_the_same_projection(world: World, topics: Kafka, environment: dict[str, str]) -> None:
    renewals = [Renewal() for _ in range(5)]
    records = [each for renewal in renewals for each in world.apply(*renewal.asked(), renewal.csr(), renewal.issued())]
    publish(topics, records)
    right = command(environment, "state", "--actor", "test").stdout
    assert re.fullmatch(r"[0-9a-f]{64}\n", right)
    with world.pool.connection() as conn:
        conn.execute("DELETE FROM items")
    damaged = command(environment, "state", "--actor", "test").stdout
    assert damaged != right
    done = command(environment, "rebuild", "--actor", "test")
    assert done.returncode == 0, done.stderr
    first, before, after = done.stdout.splitlines(keepends=True)
    assert first == f"events {len(records)}, renewals 5, kept 0, skipped again 0\n"
    assert (before, after) == (f"before {damaged}", f"after  {right}")
    assert command(environment, "state", "--actor", "test").stdout == right


def test_rebuild_command_reports_missing_events_and_changes_nothing(
    world: World, topics: Kafka, environment: dict[str, str]
) -> None:
    records = world.apply(*Renewal().asked())
    publish(topics, [each for each in records if each is not records[4]])  # the second order
    right = command(environment, "state", "--actor", "test").stdout
    done = command(environment, "rebuild", "--actor", "test")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("events-missing: the topics lack events of 1 renewals")
    assert command(environment, "state", "--actor", "test").stdout == right
