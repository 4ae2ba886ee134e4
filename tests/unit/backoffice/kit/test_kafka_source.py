"""The kit's way in by Kafka: nothing that came is dropped, and it watches its membership as the services do."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import RebalanceInProgressError

from backoffice.kit.sources import KafkaSource

OLD, NEW = TopicPartition("issuance.events", 0), TopicPartition("issuance.events", 1)


@dataclass
class Client:
    """A client whose partition is taken away, and another one given, while it rests."""

    partitions: set[TopicPartition] = field(default_factory=lambda: {OLD})
    handed_out: dict[TopicPartition, list[Any]] = field(default_factory=dict)
    out: bool = False
    joined: int = 0
    session_seconds: float = 0.0

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        given, self.handed_out = self.handed_out, {}
        self.partitions = set(given) or self.partitions
        return given

    def assignment(self) -> set[TopicPartition]:
        return self.partitions

    def pause(self, *partitions: TopicPartition) -> None:
        assert set(partitions) <= self.partitions

    def resume(self, *partitions: TopicPartition) -> None:
        assert set(partitions) <= self.partitions

    def commit(self, offsets: Any) -> None:
        raise RebalanceInProgressError

    def out_of_group(self) -> bool:
        return self.out

    def generation(self) -> int:
        return 1

    def join_again(self) -> None:
        self.joined += 1


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def source(client: Client) -> KafkaSource:
    return KafkaSource(client)  # type: ignore[arg-type]


def junk(offset: int) -> SimpleNamespace:
    return SimpleNamespace(topic="issuance.events", partition=1, offset=offset, key=None, headers=(), value=None)


def test_partitions_assigned_during_a_pause_are_read_afterwards(client: Client, source: KafkaSource) -> None:
    client.handed_out = {NEW: [junk(7)]}
    source.rest(0.01)
    assert [each.split(":")[0] for each in source.poll(1, 0.01).unreadable] == ["partition 1, offset 7"]


@pytest.mark.parametrize("trouble", ["out of the group", "commits refused"])
def test_reader_outside_its_group_rejoins(client: Client, source: KafkaSource, trouble: str) -> None:
    client.out = trouble == "out of the group"
    if trouble == "commits refused":
        client.handed_out = {NEW: [junk(7)]}
        source.poll(1, 0.01)
        source.settle(lambda position: True)
    source.poll(1, 0.01)
    assert client.joined == 1
