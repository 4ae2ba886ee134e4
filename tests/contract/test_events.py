"""The wire: what was written once is read and written the same for ever, and the documents say what the code does."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devtools.docs.feed import documents
from devtools.docs.feed.documents import files
from shared.events.base import Event, Topic
from shared.events.registry import ALL, PUBLISHERS
from shared.messaging import codec
from tests.contract import golden

ROOT = Path(__file__).parents[2]
EVENTS = sorted(ALL.values(), key=lambda event: event.TYPE)
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)


@each_event
def test_golden_record_is_read_and_written_identically(event: type[Event]) -> None:
    key, headers, data = golden.load(event)
    envelope = codec.from_record(event.TOPIC, key, headers, data)
    assert codec.to_headers(envelope) == headers
    assert envelope.key == key
    assert codec.encode_data(codec.decode_data(envelope.data, ALL[envelope.type])) == data


@each_event
def test_optional_field_is_written_only_with_a_value(event: type[Event]) -> None:
    """An event that lacks it has the same bytes as before the field was added."""
    full = golden.sample(event, event.TYPE)
    optional = {f.name: f.default for f in dataclasses.fields(event) if f.default is not dataclasses.MISSING}
    bare = dataclasses.replace(full, **optional)
    for value, silent in ((full, set()), (bare, {*optional})):
        data = codec.encode_data(value)
        assert codec.decode_data(data, event) == value
        assert {f.name for f in dataclasses.fields(event)} - json.loads(data).keys() == silent


def test_every_golden_record_is_of_a_known_event() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.json")} == {*ALL}


@each_event
def test_golden_record_satisfies_the_published_schema(event: type[Event]) -> None:
    schema: Any = json.loads(files()[f"{event.TYPE}.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    data = json.loads(golden.load(event)[2])
    checker.validate(data)
    for name in data:
        with pytest.raises(jsonschema.ValidationError):
            checker.validate({**data, name: [[]]})


@each_event
def test_event_type_names_publisher_event_and_version(event: type[Event]) -> None:
    start, domain, service, name, version = event.TYPE.split(".")
    assert (start, domain, version) == ("hk", "ecert", "v1")
    assert event.__module__ == f"shared.events.{service}"
    assert event.TOPIC.value.partition(".")[0] == service
    assert name.replace("-", "") == event.__name__.lower()


def test_every_topic_has_an_event_and_every_publisher_a_topic() -> None:
    assert {event.TOPIC for event in EVENTS} == {*Topic}
    assert len(PUBLISHERS) == 5


def test_documents_are_as_the_code_generates_them() -> None:
    found = {path.name: path.read_text("utf-8") for path in (ROOT / documents.FOLDER).iterdir()}
    assert {name: text for name, text in found.items() if name not in documents.GUIDE} == files(), "make docs"


def test_asyncapi_document_has_no_dangling_reference() -> None:
    document = json.loads(files()["asyncapi.json"])
    names = files().keys()
    for reference in _references(document):
        if reference.startswith("./"):
            assert reference.removeprefix("./") in names
            continue
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    assert {*document["channels"]} == {topic.value for topic in Topic}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [reference for inner in value.values() for reference in _references(inner)]
    if isinstance(value, list):
        return [reference for inner in value for reference in _references(inner)]
    return []


SECRETS = ("pin", "password", "private_key", "card", "token", "secret")


@each_event
def test_no_field_of_an_event_is_named_like_a_secret(event: type[Event]) -> None:
    fields = json.loads(golden.load(event)[2])
    assert [name for name in fields if name.lower() in SECRETS] == []
