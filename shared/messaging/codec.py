"""Encoding of events as Kafka records: CloudEvents 1.0, Kafka protocol binding, binary mode."""

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from shared.errors import Undecodable
from shared.events.base import Envelope, Event, Topic

E = TypeVar("E", bound=Event)
Headers = Sequence[tuple[str, bytes | None]]
CONTENT_TYPE = "application/json; charset=utf-8"
# CloudEvents 1.0 does not allow these in attributes, and PostgreSQL cannot store a NUL.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Header of the record that replaces a rejected batch (shared/messaging/decompression.py): the reason.
UNREADABLE: Final = "ce_unreadable"
REQUIRED: Final = ("specversion", "id", "source", "type", "subject", "sequence", "time", "dataschema")


def schema_name(event_type: str) -> str:
    """Return the dataschema of a type: the URI under which `docs/events/` publishes its JSON Schema."""
    return f"urn:ecert:event-schema:{event_type}"


def encode_data(event: Event) -> bytes:
    """Return the event's data as JSON. Raises Undecodable for a value that its own type does not allow.

    Optional fields without a value are omitted, so adding a field does not change the bytes of existing events.
    """
    data = msgspec.json.encode({f.name: value for f in fields(event) if (value := getattr(event, f.name)) != f.default})
    decode_data(data, type(event))
    return data


def decode_data(data: bytes, event_type: type[E]) -> E:
    """Decode the fields of the type strictly, and ignore others. Raises Undecodable."""
    try:
        return msgspec.json.decode(data, type=event_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"data of {event_type.TYPE}: {error}") from error


def attributes(envelope: Envelope) -> dict[str, str]:
    """Return the envelope's CloudEvents attributes as text, in a fixed order."""
    found = {
        "specversion": "1.0",
        "id": str(envelope.id),
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.subject,
        "sequence": str(envelope.sequence),
        "time": envelope.time.isoformat().replace("+00:00", "Z"),
        "dataschema": envelope.dataschema,
        "position": None if envelope.position is None else str(envelope.position),
        "signature": envelope.signature,
        "traceparent": envelope.traceparent,
        "causationid": envelope.causationid,
    }
    return {name: value for name, value in found.items() if value is not None}


def to_headers(envelope: Envelope) -> list[tuple[str, bytes]]:
    """Return the envelope as record headers (Kafka protocol binding 3.2)."""
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes(envelope).items()]
    return [*headers, ("content-type", CONTENT_TYPE.encode())]


def to_json(envelope: Envelope) -> dict[str, str]:
    """Return the envelope as CloudEvents JSON (JSON event format 3.1); the data's bytes are unchanged."""
    data = {"datacontenttype": CONTENT_TYPE, "data_base64": base64.b64encode(envelope.data).decode()}
    return {**attributes(envelope), **data}


def from_json(topic: str, document: Mapping[str, object]) -> Envelope:
    """Decode what `to_json` encodes. Raises Undecodable for anything that is not one of our events."""
    try:
        texts = {name: value for name, value in document.items() if isinstance(value, str)}
        data = base64.b64decode(texts.pop("data_base64"), validate=True)
        texts.pop("datacontenttype", None)
        headers = [(f"ce_{name}", value.encode()) for name, value in texts.items()]
        return from_record(topic, texts["subject"].encode(), headers, data)
    except (KeyError, ValueError) as error:
        raise Undecodable(f"no CloudEvent: {error}") from error


def from_record(topic: str, key: bytes | None, headers: Headers, value: bytes | None) -> Envelope:
    """Decode a record's envelope. Raises Undecodable for anything that is not one of our events."""
    try:
        found = _attributes(headers)
        if UNREADABLE in found:
            raise Undecodable(found[UNREADABLE])
        if missing := [f"ce_{name}" for name in REQUIRED if not found.get(f"ce_{name}")]:
            raise Undecodable(f"missing attributes: {', '.join(missing)}")
        if found.get("ce_specversion") != "1.0":
            raise Undecodable("specversion is not 1.0")
        if key is None or key.decode() != found["ce_subject"]:
            raise Undecodable("record key and subject differ")
        if str(uuid.UUID(found["ce_subject"])) != found["ce_subject"]:
            raise Undecodable("subject is no UUID in canonical form")
        if value is None:
            raise Undecodable("no data")
        return Envelope(
            id=uuid.UUID(found["ce_id"]),
            source=found["ce_source"],
            type=found["ce_type"],
            topic=Topic(topic),
            subject=found["ce_subject"],
            sequence=_positive(found["ce_sequence"]),
            time=_time(found["ce_time"]),
            data=value,
            dataschema=found["ce_dataschema"],
            traceparent=found.get("ce_traceparent"),
            causationid=found.get("ce_causationid"),
            position=_positive(found["ce_position"]) if "ce_position" in found else None,
            signature=found.get("ce_signature"),
        )
    except ValueError as error:
        raise Undecodable(str(error)) from error


def _attributes(headers: Headers) -> dict[str, str]:
    """Return our headers, each at most once; other headers (such as a tracer's) are ignored."""
    found: dict[str, str] = {}
    for name, raw in headers:
        if not name.startswith("ce_") or raw is None:
            continue
        if name in found:
            raise Undecodable(f"{name} comes twice")
        found[name] = raw.decode()
        if _CONTROL.search(found[name]):
            raise Undecodable(f"{name} has a control character")
    return found


def readable_sequence(headers: Headers) -> int | None:
    """Return the sequence number of an undecodable record, if at least that can be read."""
    for name, raw in headers:
        if name == "ce_sequence" and raw is not None:
            try:
                return _positive(raw.decode())
            except ValueError:
                return None
    return None


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 2**63:
        raise ValueError("a sequence or position is not a positive 64-bit number")
    return number


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("time has no zone")
    return time
