"""The watch over a consumer's membership: when it joins again, when it asks for partitions, when it gives up."""

from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from shared.messaging.group_membership import Membership


@dataclass
class Client:
    """A client with a session time-out of ten seconds, and the clock."""

    out: bool = False
    round: int = 1
    partitions: list[int] = field(default_factory=lambda: [1])
    now: float = 0.0
    joined: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    session_seconds: float = 10.0

    def out_of_group(self) -> bool:
        return self.out

    def generation(self) -> int:
        return self.round

    def assignment(self) -> list[int]:
        return self.partitions

    def ask_again(self) -> None:
        self.asked.append(self.now)

    def join_again(self) -> None:
        self.joined.append(self.now)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def membership(client: Client) -> Membership:
    return Membership(client, lambda: client.now)


def run(client: Client, membership: Membership, seconds: int) -> None:
    """Watch four times a second, as the loop does."""
    for _ in range(4 * seconds):
        client.now += 0.25
        membership.watch()


def test_group_member_does_not_rejoin(client: Client, membership: Membership) -> None:
    run(client, membership, 600)
    assert (client.joined, client.asked, membership.lost) == ([], [], False)
    assert REGISTRY.get_sample_value("consumer_group_member") == 1


def test_consumer_outside_its_group_rejoins_once_per_session_timeout_and_finally_fails(
    client: Client, membership: Membership
) -> None:
    client.out = True
    run(client, membership, 9)
    assert client.joined == []
    run(client, membership, 20)
    assert [round(each) for each in client.joined] == [10, 20]
    assert REGISTRY.get_sample_value("consumer_group_member") == 0
    assert not membership.lost
    run(client, membership, 2)
    assert membership.lost
    client.out = False
    run(client, membership, 1)
    assert not membership.lost
    assert REGISTRY.get_sample_value("consumer_group_member") == 1


def test_consumer_whose_commits_are_refused_rejoins(client: Client, membership: Membership) -> None:
    membership.refused()
    run(client, membership, 11)
    assert len(client.joined) == 1


@pytest.mark.parametrize("end", ["committed", "next round"])
def test_commit_refused_in_a_rebalance_is_ignored_afterwards(client: Client, membership: Membership, end: str) -> None:
    membership.refused()
    run(client, membership, 5)
    if end == "committed":
        membership.committed()
    else:
        client.round += 1
    run(client, membership, 60)
    assert client.joined == []


def test_consumer_without_partitions_rejoins_with_backoff(client: Client, membership: Membership) -> None:
    """One member too many asks five times in an hour; one to which a leader without metadata gave nothing asks soon."""
    client.partitions = []
    run(client, membership, 3600)
    assert [round(each / 10) * 10 for each in client.asked] == [20, 60, 140, 300, 620, 1260, 2540]
    assert client.joined == []
    client.partitions, before = [1], len(client.asked)
    run(client, membership, 1)
    client.partitions = []
    run(client, membership, 21)
    assert len(client.asked) == before + 1
