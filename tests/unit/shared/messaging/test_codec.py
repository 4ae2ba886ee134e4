"""Events to records and back, and records that are no events."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Undecodable
from shared.events.base import Envelope, Event, Topic
from shared.events.payment import PaymentDeclined, PaymentExpired
from shared.events.registry import ALL
from shared.messaging import codec
from shared.vocabulary import RenewalId
from tests.unit.shared.messaging.samples import MOMENTS, events

ATTRIBUTES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
Headers = list[tuple[str, bytes | None]]


def good() -> Envelope:
    event = PaymentExpired(renewal_id=RenewalId(uuid.uuid4()), reason="deadline")
    return Envelope(
        id=uuid.uuid4(),
        source="/payment",
        type=event.TYPE,
        topic=event.TOPIC,
        subject=str(event.renewal_id),
        sequence=1,
        time=datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
        data=codec.encode_data(event),
        dataschema=codec.schema_name(event.TYPE),
    )


def read(envelope: Envelope, headers: Headers) -> Envelope:
    return codec.from_record(envelope.topic, envelope.key, headers, envelope.data)


def replaced(envelope: Envelope, name: str, value: bytes | None) -> Headers:
    return [(n, value if n == name else v) for n, v in codec.to_headers(envelope)]


@given(events())
def test_event_survives_encoding(event: Event) -> None:
    data = codec.encode_data(event)
    assert codec.decode_data(data, ALL[event.TYPE]) == event
    assert codec.encode_data(codec.decode_data(data, type(event))) == data


@given(
    st.builds(
        Envelope,
        id=st.uuids(),
        source=ATTRIBUTES,
        type=ATTRIBUTES,
        topic=st.sampled_from(Topic),
        subject=st.uuids().map(str),
        sequence=st.integers(min_value=1, max_value=2**63 - 1),
        time=MOMENTS,
        data=st.binary(),
        dataschema=ATTRIBUTES,
        traceparent=st.none() | ATTRIBUTES,
        causationid=st.none() | ATTRIBUTES,
    )
)
def test_envelope_survives_encoding(envelope: Envelope) -> None:
    assert read(envelope, [*codec.to_headers(envelope)]) == envelope


NAMES = [name for name, _ in codec.to_headers(good())]


@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(), st.none() | st.binary() | st.text().map(str.encode))))
def test_any_headers_are_an_event_or_undecodable(extra: Headers) -> None:
    envelope = good()
    for headers in (extra, [*codec.to_headers(envelope), *extra], [*extra, *codec.to_headers(envelope)]):
        try:
            found = read(envelope, headers)
        except Undecodable:
            continue
        assert found.subject == envelope.subject


@given(st.none() | st.binary(), st.none() | st.binary())
def test_any_key_and_data_are_an_event_or_undecodable(key: bytes | None, value: bytes | None) -> None:
    envelope = good()
    try:
        found = codec.from_record(envelope.topic, key, codec.to_headers(envelope), value)
        codec.decode_data(found.data, PaymentExpired)
    except Undecodable:
        return
    raise AssertionError("random bytes are no event")


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("content-type",)])
@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"a\0b", b"a\nb"])
def test_attribute_that_is_missing_or_no_text_is_undecodable(name: str, value: bytes | None) -> None:
    envelope = good()
    with pytest.raises(Undecodable):
        read(envelope, replaced(envelope, name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_id", b"1"),
        ("ce_sequence", b"0"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"1_0"),
        ("ce_sequence", b" 1"),
        ("ce_sequence", "١".encode()),
        ("ce_sequence", b"9223372036854775808"),
        ("ce_sequence", b"9" * 5000),
        ("ce_time", b"2026-11-23T04:00:00"),
        ("ce_time", b"soon"),
        ("ce_subject", b"another"),
    ],
)
def test_attribute_with_a_wrong_value_is_undecodable(name: str, value: bytes) -> None:
    envelope = good()
    with pytest.raises(Undecodable):
        read(envelope, replaced(envelope, name, value))


def test_duplicate_attribute_is_undecodable() -> None:
    envelope = good()
    with pytest.raises(Undecodable, match="ce_sequence comes twice"):
        read(envelope, [*codec.to_headers(envelope), ("ce_sequence", b"2")])


def test_foreign_headers_are_ignored() -> None:
    envelope = good()
    others: Headers = [("b3", b"\xff\0"), ("b3", b"x"), ("empty", None)]
    assert read(envelope, [*others, *codec.to_headers(envelope)]) == envelope


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"renewal_id": 1, "reason": "x"}',
        b'{"renewal_id": "8e4d7c1e-0000-4000-8000-000000000000", "reason": "\xff"}',
        b'{"renewal_id": "8e4d7c1e-0000-4000-8000-000000000000", "reason": "\\ud800"}',
        b'{"renewal_id": "8e4d7c1e-0000-4000-8000-000000000000", "reason": "x", "more": ' + b"[" * 100_000,
        b"[" * 100_000,
    ],
)
def test_data_of_another_event_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.decode_data(data, PaymentExpired)


def test_fields_that_a_later_release_added_are_ignored() -> None:
    event = PaymentExpired(renewal_id=RenewalId(uuid.uuid4()), reason="x")
    data = codec.encode_data(event)[:-1] + b', "more": {"than": ["today"]}}'
    assert codec.decode_data(data, PaymentExpired) == event


def test_value_that_its_field_does_not_allow_is_refused_when_written() -> None:
    wrong = PaymentDeclined(renewal_id=RenewalId(uuid.uuid4()), payment_id="no uuid", reason="x")  # type: ignore[arg-type]
    with pytest.raises(Undecodable):
        codec.encode_data(wrong)
