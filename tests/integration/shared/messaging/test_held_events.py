"""Held events and the operator's command, for the odd cases."""

import argparse
import contextlib
import dataclasses
import json
import uuid
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.db import Pool
from shared.errors import Refused
from shared.messaging import held_events, inbox
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEventNotFound
from shared.messaging.inbox import Place
from shared.messaging.record import Record
from shared.operators import held_commands, skip_proposals
from shared.runtime import command_line, held_command, operator_commands
from shared.runtime.service import CommandGroup
from shared.tx import transaction
from tests.integration.shared.conftest import TOPIC, Deliver, Handler, Writer
from tests.integration.shared.messaging.test_inbox import Applied, held_event, held_reason, place, with_header


def event_of(record: Record) -> str:
    return dict(record.headers)["ce_id"].decode()  # type: ignore[union-attr]


def skip(pool: Pool, apply: Applier, place: Place, *, actor: str, reason: str, event: str | None = None) -> int:
    """Skip an event with four-eyes approval. Returns the key's last sequence afterwards."""
    with transaction(pool, clock=apply.clock) as tx:
        return held_commands.skip(tx, apply, place, actor=actor, reason=reason, event=event)


def event_applied(pool: Pool, writer: Writer, sequence: int) -> str:
    """Return the id of the key's last event, which has this number."""
    with pool.connection() as conn:
        return str(inbox.lock(conn, place(writer))[1]) if inbox.lock(conn, place(writer))[0] == sequence else "another"


def skipped(pool: Pool, writer: Writer) -> list[str]:
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT details->>'event' FROM audit_log WHERE action = 'event-skipped' AND subject = %s", (writer.key,)
        ).fetchall()
    return [row[0] for row in rows]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(
    key=st.none() | st.binary(max_size=50),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=4),
    name=st.sampled_from(["ce_id", "ce_type", "ce_subject", "ce_time", "ce_source"]),
    junk=st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode),
)
def test_held_record_is_stored_byte_for_byte(
    pool: Pool,
    deliver: Deliver,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    name: str,
    junk: bytes | None,
) -> None:
    writer = Writer()
    good = writer.record(1)
    mixed = tuple((n, junk if n == name else v) for n, v in good.headers)
    wholly = dataclasses.replace(writer.record(1), key=key, value=value, headers=tuple(headers))
    partly = dataclasses.replace(writer.record(1), headers=(*mixed, *headers))
    deliver(wholly, partly)
    with pool.connection() as conn:
        rows = {p.record.offset: p.record for p in held_events.list_held_events(conn, consumer="application")}
        assert rows[wholly.offset].headers == wholly.headers
        assert rows[wholly.offset].value == wholly.value
        conn.execute("DELETE FROM parked_events")


def test_event_is_held_even_if_its_error_text_cannot_be_stored(
    pool: Pool, deliver: Deliver, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("a NUL \0, a lone surrogate \udc80")
    deliver(writer.record(1))
    [found] = held_commands.list_held(pool, "application")
    assert found.error == r"RuntimeError: a NUL \0, a lone surrogate \udc80"


def test_duplicate_sequence_number_is_skipped_and_later_events_are_applied(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(1))
    deliver(writer.record(1, event_id=uuid.uuid4()))
    deliver(writer.record(2), writer.record(3))
    assert applied(writer) == ["1"]
    with pytest.raises(held_commands.NotNext):
        held_commands.redrive(pool, apply, place(writer), actor="tester")
    assert skip(pool, apply, place(writer), actor="officer", reason="restored from a backup") == 3
    assert applied(writer) == ["1", "2", "3"]
    assert held_reason(pool, writer) is None
    assert held_event(pool, writer) == []


def test_operator_chooses_which_of_two_held_events_is_skipped(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["2"] = Refused("forged")
    forged, genuine = writer.record(2), writer.record(2, event_id=uuid.uuid4())
    deliver(writer.record(1), forged)
    deliver(genuine, writer.record(3))
    handler.failures.clear()
    with pytest.raises(held_commands.ChooseEvent, match=f"{event_of(forged)}.*{event_of(genuine)}"):
        skip(pool, apply, place(writer), actor="officer", reason="?")
    assert skip(pool, apply, place(writer), actor="officer", reason="forged", event=event_of(forged)) == 3
    assert applied(writer) == ["1", "2", "3"]
    assert held_event(pool, writer) == []
    assert skipped(pool, writer) == [event_of(forged)]


def test_later_of_two_held_events_can_be_skipped(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("not yet")
    first, later = writer.record(1), writer.record(1, event_id=uuid.uuid4())
    deliver(first, later)
    handler.failures.clear()
    assert skip(pool, apply, place(writer), actor="officer", reason="forged", event=event_of(later)) == 1
    assert event_applied(pool, writer, 1) == event_of(first)
    assert held_reason(pool, writer) is None


def test_no_event_is_applied_while_another_has_its_sequence_number(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    """Neither when a gap before them heals, nor when the second comes again, nor by redrive."""
    first, second = writer.record(3), writer.record(3, event_id=uuid.uuid4())
    deliver(first)
    deliver(second)
    deliver(dataclasses.replace(second, offset=1000))
    deliver(writer.record(1), writer.record(2))
    assert applied(writer) == []
    assert held_event(pool, writer) == [1, 2, 3, 3]
    assert skip(pool, apply, place(writer), actor="officer", reason="twice", event=event_of(first)) == 3
    assert applied(writer) == ["1", "2", "3"]
    assert event_applied(pool, writer, 3) == event_of(second)


def test_two_of_three_events_with_one_number_must_be_skipped(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = Refused("forged")
    records = [writer.record(1, event_id=uuid.uuid4()) for _ in range(3)]
    deliver(*records)
    handler.failures.clear()
    assert skip(pool, apply, place(writer), actor="officer", reason="1", event=event_of(records[1])) == 0
    assert skip(pool, apply, place(writer), actor="officer", reason="2", event=event_of(records[0])) == 1
    assert event_applied(pool, writer, 1) == event_of(records[2])


def test_gap_closes_by_itself_after_a_conflict(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    first, again = writer.record(1), writer.record(1, event_id=uuid.uuid4())
    deliver(first, again, writer.record(3))
    skip(pool, apply, place(writer), actor="officer", reason="restored", event=event_of(again))
    assert held_reason(pool, writer) == held_events.GAP
    deliver(writer.record(2))
    assert applied(writer) == ["1", "2", "3"]


def test_skip_is_possible_only_for_the_next_held_event(
    pool: Pool, apply: Applier, deliver: Deliver, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("no")
    second = writer.record(2)
    deliver(writer.record(1), second)
    with pytest.raises(held_commands.NotNext):
        skip(pool, apply, place(writer), actor="officer", reason="?", event=event_of(second))
    with pytest.raises(HeldEventNotFound):
        skip(pool, apply, place(writer), actor="officer", reason="?", event=str(uuid.uuid4()))
    assert held_event(pool, writer) == [1, 2]


def test_event_without_a_number_is_skipped_by_topic_and_offset(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    junk = dataclasses.replace(writer.record(1), headers=(), value=b"junk")
    deliver(junk, writer.record(1))
    at = f"{junk.partition}/{junk.offset}"
    assert skip(pool, apply, place(writer), actor="officer", reason="junk", event=at) == 1
    assert held_event(pool, writer) == []
    assert applied(writer) == ["1"]


def test_skip_of_an_unreadable_event_uses_up_no_number(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(2))
    deliver(with_header(writer.record(2), "ce_time", b"yesterday"))
    assert held_event(pool, writer) == [None, 2]
    deliver(writer.record(1))
    assert applied(writer) == ["1", "2"]


def test_list_continues_beyond_a_page(pool: Pool, deliver: Deliver) -> None:
    writers = [Writer() for _ in range(40)]
    deliver(*[writer.record(sequence) for writer in writers for sequence in (2, 3, 5)])
    with pool.connection() as conn:
        found = [(p.place.key, p.sequence) for p in held_events.list_held_events(conn, consumer="application", page=7)]
    assert found == sorted((writer.key, sequence) for writer in writers for sequence in (2, 3, 5))


def test_redrive_without_a_held_event_does_nothing(
    pool: Pool, apply: Applier, deliver: Deliver, writer: Writer
) -> None:
    deliver(writer.record(1))
    with pytest.raises(HeldEventNotFound):
        held_commands.redrive(pool, apply, place(writer), actor="tester")


def run(pool: Pool, apply: Applier, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    group = CommandGroup(help="", commands=held_command.commands(lambda: apply))
    command_line.add_commands(parser, {"held": group}, metavar="COMMAND")
    options = parser.parse_args(["held", *arguments])
    operator_commands.run_command(lambda: contextlib.nullcontext(pool), options.command, options)


def test_command_lists_redrives_and_skips(
    pool: Pool,
    apply: Applier,
    deliver: Deliver,
    applied: Callable[[Writer], list[str]],
    handler: Handler,
    writer: Writer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler.failures["1"] = handler.failures["3"] = RuntimeError("not now")
    deliver(writer.record(1), writer.record(2), writer.record(3))
    capsys.readouterr()
    run(pool, apply, "list", "--actor", "officer", "--json")
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(line["sequence"], line["reason"]) for line in listed] == [(1, "failed"), (2, "gap"), (3, "gap")]
    del handler.failures["1"]
    run(pool, apply, "redrive", TOPIC, writer.key, "--actor", "officer")
    assert f"{TOPIC} {writer.key}: applied up to sequence 2" in capsys.readouterr().out
    why = ("--reason", "agreed with the subscriber")
    run(pool, apply, "skip", TOPIC, writer.key, "--actor", "officer", *why)
    proposal = capsys.readouterr().out.partition(":")[0]
    run(pool, apply, "list", "--actor", "officer")
    assert f"{proposal} by officer: agreed with the subscriber" in capsys.readouterr().out
    assert held_event(pool, writer) == [3]
    run(pool, apply, "confirm", proposal, "--actor", "supervisor", *why)
    assert f"{TOPIC} {writer.key}: applied up to sequence 3" in capsys.readouterr().out
    assert applied(writer) == ["1", "2"]
    with pool.connection() as conn:
        assert inbox.lock(conn, place(writer))[0] == 3
    with pytest.raises(SystemExit, match="not-parked"):
        run(pool, apply, "redrive", TOPIC, writer.key, "--actor", "officer")


def test_own_skip_cannot_be_approved_on_the_command_line(
    pool: Pool,
    apply: Applier,
    deliver: Deliver,
    handler: Handler,
    writer: Writer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler.failures["1"] = RuntimeError("never")
    deliver(writer.record(1))
    why = ("--reason", "agreed")
    run(pool, apply, "skip", TOPIC, writer.key, "--actor", "officer", *why)
    proposal = capsys.readouterr().out.splitlines()[-1].partition(":")[0]
    with pytest.raises(SystemExit, match="second-person-needed"):
        run(pool, apply, "confirm", proposal, "--actor", "officer", *why)
    with pytest.raises(SystemExit, match="already-proposed"):
        run(pool, apply, "skip", TOPIC, writer.key, "--actor", "supervisor", *why)
    assert held_event(pool, writer) == [1]
    run(pool, apply, "reject", proposal, "--actor", "officer", "--reason", "a mistake of mine")
    with pytest.raises(SystemExit, match="no-such-proposal"):
        run(pool, apply, "confirm", proposal, "--actor", "supervisor", *why)
    assert held_event(pool, writer) == [1]
    assert skipped(pool, writer) == []


@pytest.mark.parametrize("again", ["S1003", "s1003", " S1003 "])
def test_proposer_at_the_desk_cannot_approve_on_the_command_line(
    pool: Pool, apply: Applier, deliver: Deliver, handler: Handler, writer: Writer, again: str
) -> None:
    handler.failures["1"] = RuntimeError("never")
    deliver(writer.record(1))
    with transaction(pool, clock=apply.clock) as tx:
        (stuck,) = held_events.find_of_key(tx.conn, place(writer))
        proposal = skip_proposals.propose(tx, stuck, actor="staff S1003", reason="forged")
    with pytest.raises(SystemExit, match="second-person-needed"):
        run(pool, apply, "confirm", str(proposal), "--actor", again, "--reason", "me, too")
    assert held_event(pool, writer) == [1]


@pytest.mark.parametrize("actor", ["staff S1004", " Staff S1004", "", " "])
def test_command_line_refuses_the_name_of_a_desk_user(pool: Pool, apply: Applier, actor: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(pool, apply, "confirm", str(uuid.uuid4()), "--actor", actor, "--reason", "me, too")
    assert ended.value.code == 2
