"""Records that an intruder could write into a topic: each costs its own key at most, never the consumer."""

import dataclasses
import secrets
import uuid
from collections.abc import Callable

import psycopg
import pytest
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from shared.db import Pool
from shared.errors import Refused
from shared.events.base import Topic
from shared.events.issuance import CertificateIssued
from shared.messaging import decompression
from shared.operators import held_commands
from tests.integration.shared.conftest import Deliver, Handler, Writer
from tests.integration.shared.messaging.test_inbox import Applied, held_event, held_reason, with_header

HUGE = secrets.token_hex(4_000).encode()


@pytest.mark.parametrize("key", [HUGE, secrets.token_bytes(8_000), "鍵".encode() * 2_000])
def test_key_too_long_for_any_index_is_held_and_others_go_on(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer, key: bytes
) -> None:
    strange = dataclasses.replace(with_header(Writer().record(1), "ce_subject", key), key=key)
    deliver(strange, writer.record(1))
    assert applied(writer) == ["1"]
    [found] = held_commands.list_held(pool, "application")
    assert found.record.value == strange.value
    assert len(found.place.key.encode()) < 1_000


def test_two_long_keys_are_distinguished(pool: Pool, deliver: Deliver) -> None:
    for tail in (b"a", b"b"):
        record = Writer().record(1)
        deliver(dataclasses.replace(record, key=HUGE + tail))
    assert len({each.place.key for each in held_commands.list_held(pool, "application")}) == 2


@pytest.mark.parametrize("change", [str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda text: text + "x"])
def test_subject_in_another_spelling_is_held(
    pool: Pool, deliver: Deliver, applied: Applied, writer: Writer, change: Callable[[str], str]
) -> None:
    other = change(writer.key).encode()
    deliver(dataclasses.replace(with_header(writer.record(1), "ce_subject", other), key=other))
    assert applied(writer) == []
    assert [each.reason for each in held_commands.list_held(pool, "application")] == ["undecodable"]


def test_record_that_the_database_refuses_is_held_and_delays_no_other(
    pool: Pool, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    other = Writer()
    handler.failures["1"] = psycopg.errors.ProgramLimitExceeded("index row size 6040 exceeds 2704")
    deliver(writer.record(1))
    deliver(with_header(other.record(1), "ce_source", b"/payment"))
    assert held_reason(pool, writer) == "too-large"
    assert held_event(pool, writer) == [1]


def test_event_of_another_writer_is_held(pool: Pool, deliver: Deliver, applied: Applied, writer: Writer) -> None:
    first = writer.record(1)
    deliver(dataclasses.replace(first, topic=Topic.MAILING))  # mailing's rights, payment's event
    deliver(dataclasses.replace(with_header(first, "ce_type", CertificateIssued.TYPE.encode()), topic=Topic.MAILING))
    assert applied(writer) == []
    assert [(each.place.topic, each.reason) for each in held_commands.list_held(pool, "application")] == [
        (Topic.MAILING, "wrong-topic")
    ]
    deliver(first)
    assert applied(writer) == ["1"]


def test_event_with_the_number_of_a_held_one_is_held_and_logged(
    pool: Pool, deliver: Deliver, applied: Applied, handler: Handler, writer: Writer
) -> None:
    handler.failures["1"] = Refused("forged")
    forged, genuine = writer.record(1), writer.record(1, event_id=uuid.uuid4())
    deliver(forged)
    deliver(forged)
    deliver(genuine)
    deliver(genuine)
    found = [(each.sequence, each.reason, each.error) for each in held_commands.list_held(pool, "application")]
    assert found == [(1, "conflict", "refused: forged"), (1, "conflict", "another event has this number")]
    assert applied(writer) == []


class _NoUTF8(str):
    """A header's name that kafka-python's producer sends as these bytes."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"x-\xff\xfe"


@pytest.mark.parametrize("compression", [DefaultRecordBatch.CODEC_NONE, DefaultRecordBatch.CODEC_LZ4])
def test_header_name_that_is_no_utf_8_does_not_stop_the_consumer(compression: int) -> None:
    decompression.install()
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    headers = [[(_NoUTF8("x"), b"1"), ("ce_id", b"\xff")], [("ce_id", b"2")]]
    for offset, each in enumerate(headers):
        builder.append(offset, timestamp=1, key=b"k", value=b"v", headers=each)
    records = list(DefaultRecordBatch(bytes(builder.build())))
    assert [record.headers for record in records] == [
        [(r"x-\xff\xfe", b"1"), ("ce_id", b"\xff")],
        [("ce_id", b"2")],
    ]
