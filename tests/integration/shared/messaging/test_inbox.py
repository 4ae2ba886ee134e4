"""Events in: repeats, lateness, gaps, poison, redrive; on a real PostgreSQL."""

import dataclasses
import threading
import uuid
from collections.abc import Callable

import psycopg
import pytest

from shared.db import Pool
from shared.errors import Ignored, Refused
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier, ManyKeysFailing
from shared.messaging.inbox import Place
from shared.messaging.record import Record
from shared.operators import held_commands
from shared.tx import transaction
from tests.integration.shared.conftest import TOPIC, Deliver, Handler, Writer

Applied = Callable[[Writer], list[str]]


def place(writer: Writer) -> Place:
    return Place(consumer="application", topic=TOPIC, key=writer.key)


def held_reason(pool: Pool, writer: Writer) -> str | None:
    with pool.connection() as conn:
        return inbox.lock(conn, place(writer))[2]


def one_by_one(deliver: Deliver, writer: Writer, sequences: range) -> None:
    for sequence in sequences:
        deliver(writer.record(sequence))


def held_event(pool: Pool, writer: Writer) -> list[int | None]:
    return [p.sequence for p in held_commands.list_held(pool, "application") if p.place == place(writer)]


def with_header(record: Record, name: str, value: bytes) -> Record:
    return dataclasses.replace(record, headers=tuple((n, value if n == name else v) for n, v in record.headers))


def test_second_delivery_changes_nothing(pool: Pool, deliver: Deliver, applied: Applied, writer: Writer) -> None:
    first = writer.record(1)
    deliver(first)
    deliver(first)
    deliver(first, writer.record(2))
    deliver(first)
    assert applied(writer) == ["1", "2"]
    assert (held_event(pool, writer), held_reason(pool, writer)) == ([], None)


def test_late_event_changes_nothing(deliver: Deliver, applied: Applied, writer: Writer) -> None:
    deliver(writer.record(1), writer.record(2), writer.record(3))
    deliver(writer.record(2))
    assert applied(writer) == ["1", "2", "3"]


def test_gap_holds_the_key_until_the_missing_event_comes(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(1))
    deliver(writer.record(4))
    deliver(writer.record(3))
    assert applied(writer) == ["1"]
    assert held_reason(pool, writer) == held_events.GAP
    deliver(writer.record(2))
    assert applied(writer) == ["1", "2", "3", "4"]
    assert held_reason(pool, writer) is None
    assert held_event(pool, writer) == []


def test_gap_delivered_twice_is_held_once(pool: Pool, deliver: Deliver, writer: Writer) -> None:
    third = writer.record(3)
    deliver(third)
    deliver(third)
    deliver(writer.record(3))
    assert held_event(pool, writer) == [3]


def test_same_number_with_another_id_holds_the_key(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(1))
    deliver(writer.record(1, event_id=uuid.uuid4()))
    deliver(writer.record(2))
    assert applied(writer) == ["1"]
    assert held_reason(pool, writer) == inbox.CONFLICT


def test_failing_event_holds_its_key_and_no_other(
    pool: Pool, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    other = Writer()
    handler.failures["2"] = RuntimeError("cannot")
    deliver(writer.record(1), writer.record(2), writer.record(3), other.record(1))
    assert applied(writer) == ["1"]
    assert applied(other) == ["1"]
    assert held_event(pool, writer) == [2, 3]
    assert handler.calls == 1 + 3 + 1, "three tries of the poison, one of each other"


def test_refusal_is_held_at_once(pool: Pool, deliver: Deliver, handler: Handler, writer: Writer) -> None:
    handler.failures["1"] = Refused("never")
    deliver(writer.record(1))
    assert handler.calls == 1
    assert held_event(pool, writer) == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ce_id", b"no-uuid"), ("ce_type", b"hk.ecert.payment.unheard-of.v9"), ("ce_time", b"yesterday")],
)
def test_unreadable_event_holds_its_key_at_once(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer, name: str, value: bytes
) -> None:
    deliver(with_header(writer.record(1), name, value), writer.record(2))
    assert applied(writer) == []
    assert held_event(pool, writer) == [1, 2]


def test_junk_without_a_sequence_is_stored_and_holds_no_key(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    junk = dataclasses.replace(writer.record(1), headers=(), value=b"\xff\x00")
    deliver(junk, dataclasses.replace(writer.record(1, offset=99), key=None), writer.record(1))
    assert applied(writer) == ["1"]
    assert {p.sequence for p in held_commands.list_held(pool, "application")} == {None, 1}


def test_data_of_another_renewal_is_held(pool: Pool, deliver: Deliver, applied: Applied, writer: Writer) -> None:
    deliver(dataclasses.replace(writer.record(1), value=Writer().record(1).value))
    assert held_event(pool, writer) == [1]
    assert applied(writer) == []


def test_ignored_event_counts_as_seen_and_leaves_no_other_trace(
    pool: Pool, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = Ignored("too late")
    deliver(writer.record(1), writer.record(2))
    assert applied(writer) == ["2"]
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT details->>'why' FROM audit_log WHERE action = 'event-ignored' AND subject = %s", (writer.key,)
        ).fetchone()
    assert row == ("too late",)


@pytest.mark.parametrize(
    "error", [psycopg.errors.DeadlockDetected("x"), psycopg.errors.QueryCanceled("x"), psycopg.OperationalError("x")]
)
def test_deadlock_or_slow_database_holds_nothing(
    pool: Pool, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer, error: Exception
) -> None:
    handler.failures["2"] = error
    with pytest.raises(psycopg.OperationalError):
        deliver(writer.record(1), writer.record(2))
    assert applied(writer) == []
    assert held_event(pool, writer) == []
    handler.failures.clear()
    deliver(writer.record(1), writer.record(2))
    assert applied(writer) == ["1", "2"]


def test_failure_of_many_keys_at_once_holds_no_key(pool: Pool, deliver: Deliver, handler: Handler) -> None:
    handler.failures["1"] = RuntimeError("our fault")
    writers = [Writer() for _ in range(8)]
    with pytest.raises(ManyKeysFailing):
        deliver(*[writer.record(1) for writer in writers])
    assert held_commands.list_held(pool, "application") == []


def test_redrive_keeps_the_order_while_new_events_arrive(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("not yet")
    deliver(*[writer.record(sequence) for sequence in range(1, 6)])
    handler.failures.clear()
    arriving = threading.Thread(target=one_by_one, args=(deliver, writer, range(6, 30)), daemon=True)
    arriving.start()
    held_commands.redrive(pool, apply, place(writer), actor="tester")
    arriving.join(30)
    assert applied(writer) == [str(sequence) for sequence in range(1, 30)]
    assert held_reason(pool, writer) is None


def test_redrive_that_fails_again_leaves_the_event_held(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("still not")
    deliver(writer.record(1), writer.record(2))
    held_commands.redrive(pool, apply, place(writer), actor="tester")
    assert applied(writer) == []
    assert held_event(pool, writer) == [1, 2]


def test_skip_is_audited_and_later_events_are_applied(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("never")
    deliver(writer.record(1), writer.record(2))
    with transaction(pool, clock=apply.clock) as tx:
        held_commands.skip(tx, apply, place(writer), actor="officer", reason="made by hand")
    deliver(writer.record(3))
    assert applied(writer) == ["2", "3"]
    with pool.connection() as conn:
        row = conn.execute("SELECT actor, details->>'reason' FROM audit_log WHERE action = 'event-skipped'").fetchone()
    assert row == ("officer", "made by hand")


def test_nothing_is_redriven_while_an_earlier_event_is_missing(
    pool: Pool, apply: Applier, deliver: Deliver, writer: Writer
) -> None:
    deliver(writer.record(2))
    with pytest.raises(held_commands.NotNext):
        held_commands.redrive(pool, apply, place(writer), actor="tester")


def test_two_consumers_of_one_key_apply_each_event_once(deliver: Deliver, applied: Applied, writer: Writer) -> None:
    twin = Writer(renewal_id=writer.renewal_id)
    threads = [
        threading.Thread(target=one_by_one, args=(deliver, each, range(1, 40)), daemon=True) for each in (writer, twin)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert applied(writer) == [str(sequence) for sequence in range(1, 40)]
