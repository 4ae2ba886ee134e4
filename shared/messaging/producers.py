"""Producers of the relay: one for each topic, created when needed and replaced if it stays broken.

A kafka-python producer that is denied one topic fails for all others, so no two topics share one.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

import structlog
from kafka.errors import KafkaError

log = structlog.get_logger()

# An idempotent producer whose broker has lost its state stays broken; a new one works at once.
_MAX_FAILURES: Final = 2
_CLOSE_SECONDS: Final = 2.0


class Future(Protocol):
    """The outcome of one send."""

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""

    def get(self, timeout: float) -> Any:
        """Wait for the acknowledgement. Raises the failure, or KafkaTimeoutError when the wait is over."""


class Producer(Protocol):
    """Producer of kafka-python, as far as the relay needs it."""

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Queue one record. Returns its Future."""

    def close(self, timeout: float) -> None:
        """Flush and close."""


MakeProducer = Callable[[], Producer]


class Producers:
    """Producer with a separate producer for each topic."""

    def __init__(self, make: MakeProducer) -> None:
        self._make = make
        self._made: dict[str, Producer] = {}
        self._failures: dict[str, int] = {}

    def send(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Queue one record. Raises KafkaError also if no producer can be created."""
        if topic not in self._made:
            self._made[topic] = self._make()
        return self._made[topic].send(topic, key=key, value=value, headers=headers)

    def judge(self, *, worked: Collection[str], failed: Collection[str], error: KafkaError | None) -> None:
        """Record the outcome of a batch by topic, and close the producer of a topic that failed repeatedly."""
        for topic in worked:
            self._failures.pop(topic, None)
        for topic in {*failed} - {*worked}:
            failures = self._failures[topic] = self._failures.get(topic, 0) + 1
            name = type(error).__name__
            log.warning("relay.kafka_failed", topic=topic, error=f"{name}: {error}", failures=failures)
            if failures >= _MAX_FAILURES and topic in self._made:
                _close(self._made.pop(topic), _CLOSE_SECONDS)

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Close all producers; unsent events are still in the outbox."""
        while self._made:
            _close(self._made.popitem()[1], timeout)


def _close(producer: Producer, timeout: float) -> None:
    """Close a producer, although Kafka may be unavailable."""
    try:
        producer.close(timeout=timeout)
    except KafkaError as error:
        log.warning("relay.close_failed", error=f"{type(error).__name__}: {error}")
