"""Kafka record as the consumer received it."""

from dataclasses import dataclass

from shared.events.base import Envelope
from shared.messaging import codec


@dataclass(frozen=True, kw_only=True)
class Record:
    """A Kafka record as received."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None

    def envelope(self) -> Envelope:
        """Decode the record. Raises Undecodable."""
        return codec.from_record(self.topic, self.key, self.headers, self.value)

    @property
    def traceparent(self) -> str | None:
        """The record's trace context, if it can be read."""
        return next(
            (raw.decode("ascii", "replace") for name, raw in self.headers if name == "ce_traceparent" and raw), None
        )

    @property
    def sort_key(self) -> tuple[bytes, str, int, int]:
        """Key first, whatever the topic, so that all consumers lock renewals in one order."""
        return (self.key or b"", self.topic, self.partition, self.offset)
