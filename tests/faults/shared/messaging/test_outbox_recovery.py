"""A database restored to an earlier moment: lost events are reinserted, and nothing is numbered twice."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kafka.admin import ACLOperation, ACLPermissionType

from shared.db import Pool
from shared.events.base import Envelope
from shared.messaging import codec, outbox, outbox_recovery
from shared.messaging.record import Record
from shared.vocabulary import RenewalId
from tests.faults.shared.kit import TOPIC, announce, new_keys, running_relay, unsent, with_acl
from tests.faults.shared.started import environment, started
from tests.support.engines import Database, Kafka, wait_until


def forget(database: Database, sequence: int) -> None:
    """Restore rows and counters of an earlier moment."""
    with psycopg.connect(database.superuser_url) as conn:
        conn.execute("DELETE FROM outbox WHERE sequence > %s", (sequence,))
        conn.execute("UPDATE outbox_sequences SET last_sequence = %s", (sequence,))


def rows(pool: Pool) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        query = f"SELECT {outbox.ENVELOPE} FROM outbox ORDER BY topic, key, sequence"
        return conn.execute(query.encode()).fetchall()


def stored(pool: Pool, key: RenewalId) -> list[outbox.StoredEvent]:
    with pool.connection() as conn:
        return outbox.stored(conn, str(key))


def travelled(pool: Pool) -> list[Record]:
    """Return the outbox as records of a topic."""
    return [
        Record(
            topic=each.topic,
            partition=0,
            offset=offset,
            key=each.key,
            headers=tuple(codec.to_headers(each)),
            value=each.data,
        )
        for offset, each in enumerate(map(outbox.envelope_of, rows(pool)))
    ]


def named(pool: Pool, found: outbox_recovery.RecoveryReport) -> list[str]:
    """Return the renewals that the command would name."""
    with pool.connection() as conn:
        return [*outbox_recovery.forgotten(conn, found.recovery_id)]


# Event number n of renewal number n, as many_records makes it.
MANY = f"""
INSERT INTO outbox ({outbox.ENVELOPE}, sent_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'payment.events', lpad(to_hex(n), 32, '0')::uuid::text, 1,
       'hk.ecert.payment.payment-declined.v1', '/payment', '2026-11-23T04:00:00Z', '{{}}'::bytea, 'urn:x', NULL, NULL,
       NULL, NULL, now()
FROM generate_series(1, %s) AS n""".encode()


def many_records(count: int, *, batch: int) -> Iterator[list[Record]]:
    """Make this many events as records of a topic."""
    for first in range(1, count + 1, batch):
        numbers = map(uuid.UUID, (f"{n:032x}" for n in range(first, min(first + batch, count + 1))))
        yield [a_record(number) for number in numbers]


def a_record(number: uuid.UUID) -> Record:
    envelope = Envelope(
        id=number,
        source="/payment",
        type="hk.ecert.payment.payment-declined.v1",
        topic=TOPIC,
        subject=str(number),
        sequence=1,
        time=datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
        data=b"{}",
        dataschema="urn:x",
    )
    return Record(
        topic=TOPIC,
        partition=0,
        offset=number.int,
        key=envelope.subject.encode(),
        headers=tuple(codec.to_headers(envelope)),
        value=envelope.data,
    )


class BrokenOff(Exception):
    """The recovery's process has died."""


def broken_off(*batches: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Yield these batches, then the end of the process."""
    yield from batches
    raise BrokenOff


def test_lost_events_are_reinserted_unchanged_and_counters_continue(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(3)
    announce(writer, keys, each=3)
    before, records = rows(writer), travelled(writer)
    forget(writer_database, 1)
    found = outbox_recovery.reinsert(writer, [records[:4], records[4:], records], actor="test")
    assert (found.returned, found.conflicts, named(writer, found)) == (6, [], sorted(map(str, keys)))
    assert rows(writer) == before
    announce(writer, keys[:1])
    assert [event.sequence for event in stored(writer, keys[0])] == [1, 2, 3, 4]


def test_reinserted_events_are_not_sent_again(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(1)
    announce(writer, keys, each=2)
    records = travelled(writer)
    forget(writer_database, 1)
    outbox_recovery.reinsert(writer, [records], actor="test")
    assert [event.sent_at is not None for event in stored(writer, keys[0])] == [False, True]


def test_reused_sequence_number_is_reported(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(1)
    announce(writer, keys, each=2)
    records = travelled(writer)
    forget(writer_database, 1)
    announce(writer, keys)
    own = rows(writer)
    found = outbox_recovery.reinsert(writer, [records], actor="test")
    assert found.conflicts == [f"payment.events {keys[0]} 2"]
    assert rows(writer) == own


def test_feed_positions_continue_after_the_last_published_one(writer_database: Database, writer: Pool) -> None:
    with psycopg.connect(writer_database.superuser_url) as conn:
        conn.execute("INSERT INTO feeds (topic, last_position) VALUES ('payment.events', 2)")
    announce(writer, new_keys(1), each=3)
    with writer.connection() as conn:
        conn.execute("UPDATE outbox SET position = sequence, signature = 'signed'")
    records = travelled(writer)
    forget(writer_database, 2)
    outbox_recovery.reinsert(writer, [records], actor="test")
    assert [(row[11], row[12]) for row in rows(writer)] == [(1, "signed"), (2, "signed"), (3, "signed")]
    with writer.connection() as conn:
        assert conn.execute("SELECT last_position FROM feeds WHERE topic = 'payment.events'").fetchone() == (3,)


def test_interrupted_recovery_resumes_and_names_every_renewal(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(4)
    announce(writer, keys, each=3)
    before, records = rows(writer), travelled(writer)
    forget(writer_database, 1)
    with pytest.raises(BrokenOff):
        outbox_recovery.reinsert(writer, broken_off(records[:3], records[3:7]), actor="test")
    with pytest.raises(outbox_recovery.RecoveryUnfinished):
        outbox_recovery.require_ended(writer)
    found = outbox_recovery.reinsert(writer, [records[at : at + 5] for at in range(0, 12, 5)], actor="test")
    assert (found.returned, found.known, found.conflicts) == (4, 8, [])
    assert named(writer, found) == sorted(map(str, keys))
    assert rows(writer) == before
    outbox_recovery.require_ended(writer)
    again = outbox_recovery.reinsert(writer, [records], actor="test")
    assert (again.returned, again.known, named(writer, again)) == (0, 12, [])


def test_interrupted_recovery_leaves_counters_after_the_reinserted_events(
    writer_database: Database, writer: Pool
) -> None:
    keys = new_keys(1)
    announce(writer, keys, each=4)
    records = travelled(writer)
    forget(writer_database, 1)
    with pytest.raises(BrokenOff):
        outbox_recovery.reinsert(writer, broken_off(records[:3]), actor="test")
    announce(writer, keys)
    assert [event.sequence for event in stored(writer, keys[0])] == [1, 2, 3, 4]
    found = outbox_recovery.reinsert(writer, [records], actor="test")
    assert found.conflicts == [f"payment.events {keys[0]} 4"], "what was announced too early is named, as ever"


def test_recovery_reinserts_an_event_once_that_was_sent_twice(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(2)
    announce(writer, keys, each=2)
    before, records = rows(writer), travelled(writer)
    forget(writer_database, 1)
    found = outbox_recovery.reinsert(writer, [[*records, *records]], actor="test")
    assert (found.returned, found.known) == (2, 6)
    assert rows(writer) == before


def test_recovery_advances_counters_of_an_older_release(writer_database: Database, writer: Pool) -> None:
    keys = new_keys(1)
    announce(writer, keys, each=3)
    records = travelled(writer)
    with psycopg.connect(writer_database.superuser_url) as conn:
        conn.execute("UPDATE outbox_sequences SET last_sequence = 1")
    found = outbox_recovery.reinsert(writer, [records], actor="test")
    assert (found.returned, found.known) == (0, 3)
    announce(writer, keys)
    assert [event.sequence for event in stored(writer, keys[0])] == [1, 2, 3, 4]


def test_process_does_not_start_while_a_recovery_is_open(
    kafka: Kafka, writer_database: Database, writer: Pool, tmp_path: Path
) -> None:
    with pytest.raises(BrokenOff):
        outbox_recovery.reinsert(writer, broken_off(), actor="test")
    log = tmp_path / "said"
    with started("writer", "work", env=environment(kafka, writer_database), log=log) as process:
        assert process.wait(30) != 0
    assert "has not ended: run `recall` again" in log.read_text()


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_recovery_of_two_million_events_ends_and_can_be_repeated(writer_database: Database, writer: Pool) -> None:
    count, lost = 2_000_000, 300_000
    with psycopg.connect(writer_database.superuser_url) as conn:
        conn.execute(MANY, (count - lost,))
        conn.execute("INSERT INTO outbox_sequences SELECT topic, key, sequence FROM outbox")
        conn.execute("ANALYZE")
    for expected in (lost, 0):
        found = outbox_recovery.reinsert(writer, many_records(count, batch=500), actor="test")
        assert (found.returned, found.known, found.conflicts) == (expected, count - expected, [])
        with writer.connection() as conn:
            assert sum(1 for _ in outbox_recovery.forgotten(conn, found.recovery_id)) == expected


def may_read(kafka: Kafka) -> contextlib.AbstractContextManager[None]:
    """Grant the right to read the service's own topic, as an operator does for this command."""
    return with_acl(kafka, "payment", TOPIC, ACLOperation.READ, ACLPermissionType.ALLOW)


def test_command_reads_all_of_the_service_s_own_topic(
    topic: Kafka, writer_database: Database, writer: Pool, tmp_path: Path
) -> None:
    keys = new_keys(40)
    announce(writer, keys, each=3)
    with running_relay(topic, writer):
        wait_until(lambda: unsent(writer) == 0, limit=40, what="all is sent")
    before = rows(writer)
    forget(writer_database, 1)
    command, log = ("recall", "--actor", "test"), tmp_path / "said"
    with may_read(topic), started("writer", *command, env=environment(topic, writer_database), log=log) as process:
        assert process.wait(60) == 0, log.read_text()
    first, *others = log.read_text().splitlines()
    assert first == "known 40, brought back 80, unreadable 0"
    assert others == [f"forgotten: renewal {key}" for key in sorted(map(str, keys))]
    assert rows(writer) == before
