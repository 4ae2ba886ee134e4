"""Consumers unpack within limits: kafka-python is patched before one is made."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.messaging import decompression, kafka_clients
from shared.settings import KafkaSettings

SETTINGS = KafkaSettings(
    bootstrap_servers="127.0.0.1:1",
    security_protocol="PLAINTEXT",
    username=None,
    password=None,
    ca_file=None,
    certificate_file=None,
    key_file=None,
    session_timeout_ms=10_000,
)


class Made(Exception):
    """A consumer was about to be made."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: kafka_clients.make_consumer(SETTINGS, "test", group="test", topics=["payment.events"]),
        lambda: next(kafka_clients.read_all(SETTINGS, "test", ["payment.events"])),
    ],
    ids=["make_consumer", "read_all"],
)
def test_kafka_python_is_patched_before_a_consumer_is_made(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    done: list[str] = []

    def consumer(**_: Any) -> None:
        done.append("consumer")
        raise Made

    monkeypatch.setattr(decompression, "install", lambda: done.append("install"))
    monkeypatch.setattr(kafka_clients, "GroupConsumer", consumer)
    monkeypatch.setattr(kafka_clients, "KafkaConsumer", consumer)
    with pytest.raises(Made):
        make()
    assert done == ["install", "consumer"]
