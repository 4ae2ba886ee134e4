"""An intruder who has one service's Kafka rights and writes what that service would never write."""

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import kafka.codec
import kafka.record.default_records
import pytest
from kafka import KafkaProducer

from deploy.local.kafka import client_settings
from devtools.scenario.target import Target
from shared.events.application import CSRRequested
from shared.messaging import codec, decompression
from tests.system.readings import rows

# What is written here, other tests of the run read too: their kafka-python must bear it as the services' does.
decompression.install()


@dataclass(frozen=True, kw_only=True)
class Intruder:
    """Rights of one principal on the system's own broker."""

    system: Target
    principal: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Return how this principal connects."""
        installation = self.system.installation
        password = installation.passwords[f"kafka/{self.principal}"]
        return client_settings(installation.broker.address, self.principal, password)

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Send one record until it is acknowledged. Raises what Kafka refuses."""
        with contextlib.closing(KafkaProducer(**self.settings(), acks="all", **self.more)) as producer:
            producer.send(topic, key=key, value=value, headers=headers).get(timeout=15)

    def announce(self, event_type: str, topic: str, data: Mapping[str, Any], *, key: str, sequence: int) -> None:
        """Send a record that looks like a valid event."""
        self.send(topic, key.encode(), json.dumps(data).encode(), attributes(event_type, key, sequence))

    def request_csrs(self, data: Mapping[str, Any], *, key: str, sequence: int = 1) -> None:
        """Send a forged CSRRequested."""
        self.announce(CSRRequested.TYPE, CSRRequested.TOPIC, data, key=key, sequence=sequence)


def attributes(event_type: str, key: str, sequence: int) -> list[tuple[str, bytes]]:
    """Return the headers of an event."""
    named = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid.uuid4()),
        "ce_source": f"/{event_type.split('.')[2]}",
        "ce_type": event_type,
        "ce_subject": key,
        "ce_sequence": str(sequence),
        "ce_time": "2026-11-23T04:00:00Z",
        "ce_dataschema": codec.schema_name(event_type),
    }
    return [(name, value.encode()) for name, value in named.items()]


def genuine(system: Target, renewal_id: str) -> dict[str, Any]:
    """Return the CSRRequested that application really announced."""
    query = "SELECT data FROM outbox WHERE key = %s AND type = %s"
    [(data,)] = rows(system, "application", query, renewal_id, CSRRequested.TYPE)
    content: dict[str, Any] = json.loads(bytes(data))
    return content


def held(system: Target, service: str, key: str) -> list[tuple[str, str]]:
    """Return topic and reason of a service's held events of a key."""
    query = "SELECT topic, reason FROM parked_events WHERE key = %s ORDER BY id"
    return [(topic, reason) for topic, reason in rows(system, service, query, key)]


class StrangeName(str):
    """A header's name whose bytes are no UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


@contextlib.contextmanager
def snappy() -> Iterator[None]:
    """Make kafka-python's producer use a compression that no reader here accepts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka.codec, "has_snappy", lambda: True)
        patch.setattr(kafka.record.default_records, "snappy_encode", _packed)
        patch.setitem(KafkaProducer._COMPRESSORS, "snappy", (lambda: True, KafkaProducer._COMPRESSORS["snappy"][1]))
        yield


def _packed(data: bytes) -> bytes:
    """Return snappy, by hand: its length, then literals, and copies of 64 bytes where one byte is repeated."""
    length, packed = len(data), b""
    while length >= 0x80:
        packed, length = packed + bytes([length & 0x7F | 0x80]), length >> 7
    packed += bytes([length])
    at = 0
    while at < len(data):
        if at and data[at : at + 64] == data[at - 1 : at] * 64:
            packed, at = packed + bytes([63 << 2 | 2, 1, 0]), at + 64
        else:
            packed, at = packed + bytes([0, data[at]]), at + 1
    return packed
