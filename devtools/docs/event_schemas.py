"""The events as documents for other people: a JSON Schema of each, and one AsyncAPI document of all topics."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shared.events.base import FEEDS, Event, Topic
from shared.events.registry import ALL
from shared.messaging.codec import CONTENT_TYPE, schema_name

_TEXT: Final = {"type": "string", "minLength": 1}
_HEADERS: Final[Mapping[str, Mapping[str, object]]] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"type": "string", "format": "uuid"},
    "ce_source": {**_TEXT, "description": "The publishing service"},
    "ce_type": _TEXT,
    "ce_subject": {**_TEXT, "description": "The renewal's id; the record key has the same bytes"},
    "ce_sequence": {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "1, 2, 3 … per topic and subject, without holes",
    },
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_dataschema": {"type": "string", "format": "uri"},
    "ce_traceparent": {"type": "string"},
    "ce_causationid": {"type": "string", "description": "The event or request that led to this one"},
    "content-type": {"const": CONTENT_TYPE},
}
_FEED_HEADERS: Final[Mapping[str, Mapping[str, object]]] = {
    "ce_position": {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "1, 2, 3 … over the whole topic, without holes",
    },
    "ce_signature": {
        **_TEXT,
        "description": "Detached JWS (ES256) over the data's SHA-256 and the attributes that README.md names",
    },
}
_OPTIONAL: Final = ("ce_traceparent", "ce_causationid")


def documents(examples: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return every document, by file name. `examples` has, by event type, headers and payload of one record."""
    schemas = {f"{name}.schema.json": as_json(_schema(event)) for name, event in sorted(ALL.items())}
    return {**schemas, "asyncapi.json": as_json(asyncapi(examples))}


def _schema(event: type[Event]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    own = components.pop(event.__name__)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_name(event.TYPE),
        **own,
        # Readers ignore what they do not know: an optional field may be added at any time.
        "additionalProperties": True,
    }
    return {**schema, "$defs": components} if components else schema


def asyncapi(examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the AsyncAPI 3 document."""
    by_topic = {topic: [event for event in ALL.values() if event.TOPIC is topic] for topic in Topic}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "e-Cert renewal: events",
            "version": "1",
            "description": "CloudEvents 1.0 in Kafka's binary mode. One service writes each topic. "
            "Records of one renewal have its id as their key, and so stay in order. Each may come twice.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.value: _channel(topic, by_topic[topic]) for topic in Topic},
        "operations": {
            f"{_publisher(topic)}.publish.{topic.value}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic.value}"},
                "summary": f"{_publisher(topic)} is the only writer of this topic.",
            }
            for topic in Topic
        },
        "components": {
            "messages": {event.__name__: _message(event, examples) for _, event in sorted(ALL.items())},
            # One for each message: of two, the second's list of required headers would replace the first's.
            "messageTraits": {"cloudEvent": _trait(_HEADERS), "feedEvent": _trait({**_HEADERS, **_FEED_HEADERS})},
        },
    }


def _trait(headers: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    required = [name for name in headers if name not in _OPTIONAL]
    return {
        "contentType": CONTENT_TYPE,
        "headers": {"type": "object", "required": required, "properties": headers},
        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid"}, "bindingVersion": "0.5.0"}},
    }


def _channel(topic: Topic, events: list[type[Event]]) -> dict[str, Any]:
    names = sorted(event.__name__ for event in events)
    return {
        "address": topic.value,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": topic.value, "bindingVersion": "0.5.0"}},
    }


def _message(event: type[Event], examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    trait = "feedEvent" if event.TOPIC in FEEDS else "cloudEvent"
    message = {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": (event.__doc__ or "").partition("\n")[0],
        "payload": {"$ref": f"./{event.TYPE}.schema.json"},
        "traits": [{"$ref": f"#/components/messageTraits/{trait}"}],
    }
    return {**message, "examples": [examples[event.TYPE]]} if event.TYPE in examples else message


def _publisher(topic: Topic) -> str:
    return topic.value.partition(".")[0]


def as_json(document: Any) -> str:
    """Return the text of a schema, indented and ending with a line break."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
