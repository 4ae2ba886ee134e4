"""Held events and the operator's command, for the odd cases."""

import argparse
import dataclasses
import json
import uuid
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared import held, inbox, parking
from shared.apply import Applier
from shared.db import Pool
from shared.parking import NotParked
from tests.integration.plumbing.conftest import TOPIC, Deliver, Handler, Writer
from tests.integration.plumbing.test_inbox import Applied, held_reason, parked, place


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(
    key=st.none() | st.binary(max_size=50),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=4),
    name=st.sampled_from(["ce_id", "ce_type", "ce_subject", "ce_time", "ce_source"]),
    junk=st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode),
)
def test_whatever_a_record_holds_it_is_kept_byte_for_byte(
    pool: Pool,
    deliver: Deliver,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    name: str,
    junk: bytes | None,
) -> None:
    writer = Writer(offset=uuid.uuid4().int % 2**60)
    good = writer.record(1)
    mixed = tuple((n, junk if n == name else v) for n, v in good.headers)
    wholly = dataclasses.replace(writer.record(1), key=key, value=value, headers=tuple(headers))
    partly = dataclasses.replace(writer.record(1), headers=(*mixed, *headers))
    deliver(wholly, partly)
    with pool.connection() as conn:
        rows = {p.record.offset: p.record for p in parking.list_parked(conn, consumer="application", limit=10_000)}
        assert rows[wholly.offset].headers == wholly.headers
        assert rows[wholly.offset].value == wholly.value
        conn.execute("DELETE FROM parked_events")


def test_a_handler_whose_message_no_table_could_keep_is_held_all_the_same(
    pool: Pool, deliver: Deliver, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = RuntimeError("a NUL \0, a lone surrogate \udc80")
    deliver(writer.record(1))
    [found] = held.list_held(pool, "application")
    assert found.error == r"RuntimeError: a NUL \0, a lone surrogate \udc80"


def test_a_number_used_twice_is_left_out_by_an_operator_and_the_rest_goes_on(
    pool: Pool, apply: Applier, deliver: Deliver, applied: Applied, writer: Writer
) -> None:
    deliver(writer.record(1))
    deliver(writer.record(1, event_id=uuid.uuid4()))
    deliver(writer.record(2), writer.record(3))
    assert applied(writer) == ["1"]
    with pytest.raises(held.NotNext):
        held.redrive(pool, apply, place(writer), actor="tester")
    assert held.skip(pool, apply, place(writer), actor="officer", reason="restored from a backup") == 3
    assert applied(writer) == ["1", "2", "3"]
    assert held_reason(pool, writer) is None
    assert parked(pool, writer) == []


def test_nothing_is_redriven_where_nothing_is_held(
    pool: Pool, apply: Applier, deliver: Deliver, writer: Writer
) -> None:
    deliver(writer.record(1))
    with pytest.raises(NotParked):
        held.redrive(pool, apply, place(writer), actor="tester")


def run(pool: Pool, apply: Applier, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    held.add_arguments(parser)
    held.run(pool, apply, parser.parse_args(arguments))


def test_the_command_lists_redrives_and_skips(
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
    run(pool, apply, "list")
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "parked_at" in line]
    assert [(line["sequence"], line["reason"]) for line in listed] == [(1, "failed"), (2, "gap"), (3, "gap")]
    del handler.failures["1"]
    run(pool, apply, "redrive", TOPIC, writer.key, "--actor", "officer")
    assert f"{TOPIC} {writer.key}: applied up to sequence 2" in capsys.readouterr().out
    run(pool, apply, "skip", TOPIC, writer.key, "--actor", "officer", "--reason", "agreed with the subscriber")
    assert applied(writer) == ["1", "2"]
    with pool.connection() as conn:
        assert inbox.lock(conn, place(writer))[0] == 3
    with pytest.raises(SystemExit, match="not-parked"):
        run(pool, apply, "redrive", TOPIC, writer.key, "--actor", "officer")
