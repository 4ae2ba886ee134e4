"""Identity of an event: its number and id, or its bytes, never its offset, because a topic can be re-created."""

import dataclasses
import uuid
from collections.abc import Callable

import pytest

from shared.db import Pool
from shared.errors import Refused
from shared.messaging import inbox
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.operators import held_commands, skip_proposals
from shared.operators.held_commands import ChooseEvent
from shared.tx import transaction
from tests.integration.shared.conftest import Deliver, Handler, Writer
from tests.integration.shared.messaging.test_inbox import Applied, held_event, held_reason, place, with_header

Change = Callable[[Record], Record]


def elsewhere(record: Record) -> Record:
    """Return the same record in a topic that was re-created."""
    return dataclasses.replace(record, partition=record.partition + 1, offset=1)


def unreadable(record: Record) -> Record:
    return with_header(record, "ce_time", b"yesterday")


def without_number(record: Record) -> Record:
    return dataclasses.replace(record, headers=(), value=b"junk")


def as_it_is(record: Record) -> Record:
    return record


def test_event_at_the_offset_of_a_held_one_is_held_too(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(3, offset=7))
    deliver(writer.record(2, offset=7))
    assert held_event(pool, writer) == [2, 3]
    deliver(writer.record(1, offset=8))
    assert applied(writer) == ["1", "2", "3"]


@pytest.mark.parametrize("first", [as_it_is, unreadable, without_number])
@pytest.mark.parametrize("second", [as_it_is, unreadable, without_number])
def test_another_record_at_the_offset_of_a_held_one_is_not_lost(
    pool: Pool, deliver: Deliver, handler: Handler, first: Change, second: Change
) -> None:
    handler.failures["1"] = Refused("no")
    writers = [Writer(), Writer()]
    records = [
        dataclasses.replace(change(each.record(1)), partition=3, offset=9)
        for each, change in zip(writers, (first, second), strict=True)
    ]
    for record in records:
        deliver(record)
    held_values = sorted((p.place.key, p.record.value) for p in held_commands.list_held(pool, "application"))
    assert held_values == sorted((each.key, record.value) for each, record in zip(writers, records, strict=True))


@pytest.mark.parametrize("change", [as_it_is, unreadable, without_number])
def test_held_event_is_held_once_from_any_offset(
    pool: Pool, deliver: Deliver, handler: Handler, writer: Writer, change: Change
) -> None:
    handler.failures["1"] = Refused("no")
    record = change(writer.record(1))
    deliver(record)
    deliver(record, elsewhere(record))
    assert len(held_commands.list_held(pool, "application")) == 1


def test_two_unreadable_records_of_one_key_are_both_held(pool: Pool, deliver: Deliver, writer: Writer) -> None:
    record = writer.record(1)
    tombstone, empty = (dataclasses.replace(record, headers=(), value=value) for value in (None, b""))
    deliver(tombstone, empty, unreadable(record), with_header(record, "ce_time", b"tomorrow"))
    assert len(held_commands.list_held(pool, "application")) == 4


@pytest.mark.parametrize("number", [1, 2, 3])
def test_applied_number_with_another_id_holds_the_key(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer, number: int
) -> None:
    deliver(*map(writer.record, [1, 2, 3]))
    deliver(writer.record(number, event_id=uuid.uuid4()))
    assert held_reason(pool, writer) == inbox.CONFLICT
    deliver(*map(writer.record, [1, 2, 3, 4]))
    assert applied(writer) == ["1", "2", "3"]
    with transaction(pool, clock=apply.clock) as tx:
        assert held_commands.skip(tx, apply, place(writer), actor="officer", reason="failover") == 4
    assert applied(writer) == ["1", "2", "3", "4"]


def test_numbers_reused_after_a_failover_are_all_held(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    """The reader was ahead of what the new primary has: 3 and 4 come a second time, as other events."""
    deliver(*map(writer.record, [1, 2, 3, 4]))
    deliver(*[writer.record(number, event_id=uuid.uuid4()) for number in (3, 4, 5)])
    assert applied(writer) == ["1", "2", "3", "4"]
    assert held_event(pool, writer) == [3, 4, 5]


def test_last_ids_of_a_key_are_stored(pool: Pool, deliver: Deliver, writer: Writer) -> None:
    deliver(*map(writer.record, range(1, inbox.KEPT_IDS + 3)))
    with pool.connection() as conn:
        row = conn.execute("SELECT cardinality(event_ids) FROM inbox WHERE key = %s", (writer.key,)).fetchone()
    assert row == (inbox.KEPT_IDS,)
    deliver(writer.record(1, event_id=uuid.uuid4()))  # too long ago to tell
    assert held_reason(pool, writer) is None
    deliver(writer.record(3, event_id=uuid.uuid4()))
    assert held_reason(pool, writer) == inbox.CONFLICT


def test_event_applied_by_the_previous_release_makes_no_conflict(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    """The earlier release raises the number and the last id only, in the same database and beside the new release."""
    deliver(*map(writer.record, [1, 2]))
    third = writer.record(3)
    with pool.connection() as conn:
        conn.execute(
            "UPDATE inbox SET last_sequence = 3, last_event_id = %s WHERE key = %s",
            (third.envelope().id, writer.key),
        )
    deliver(*map(writer.record, [1, 2, 3, 4]))
    deliver(*map(writer.record, [3, 4]))
    assert (applied(writer), held_reason(pool, writer)) == (["1", "2", "4"], None)
    deliver(writer.record(3, event_id=uuid.uuid4()))
    assert held_reason(pool, writer) == inbox.CONFLICT


def test_approved_skip_drops_only_the_proposed_event(
    pool: Pool, apply: Applier, deliver: Deliver, writer: Writer
) -> None:
    junk = dataclasses.replace(writer.record(1, offset=5), headers=(), value=b"junk")
    deliver(junk)
    deliver(dataclasses.replace(junk, value=b"other junk"))
    second = held_commands.list_held(pool, "application")[1]
    with transaction(pool, clock=apply.clock) as tx, pytest.raises(ChooseEvent):
        held_commands.skip(tx, apply, place(writer), actor="officer", reason="junk", event=second.at)
    with transaction(pool, clock=apply.clock) as tx:
        proposal = skip_proposals.propose(tx, second, actor="officer", reason="junk")
    with transaction(pool, clock=apply.clock) as tx:
        skip_proposals.confirm(tx, apply, proposal, actor="supervisor", reason="junk")
    assert [each.record.value for each in held_commands.list_held(pool, "application")] == [b"junk"]
