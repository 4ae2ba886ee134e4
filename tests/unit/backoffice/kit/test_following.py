"""A reader sees every event once and in order, whatever way they come, and names what is wrong."""

import uuid
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.kit.client import FEED, Page
from backoffice.kit.following import MAX_WAITING, Follower, Patience
from backoffice.kit.keys import KeyRing
from backoffice.kit.main import _look_back as look_back
from backoffice.kit.state import AnotherBeginning, State
from shared.events.base import Envelope
from shared.security.tokens import KeySet
from shared.web.https_client import APIUnavailable
from tests.support.builders import key_set, signing_key
from tests.unit.backoffice.kit.feed import BEGAN, Given, Worked, at, keys, signed


class Clock:
    """Clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class HTTP:
    """The feed over HTTP: what it has, and how often it was asked."""

    def __init__(self, *events: Envelope, away: int = 0) -> None:
        self.events = {event.position or 0: event for event in events}
        self.asked: list[int] = []
        self.away = away

    def page(self, after: int, *, limit: int, wait: int = 0) -> Page:
        self.asked.append(after)
        if self.away:
            self.away -= 1
            raise APIUnavailable("away")
        found = [event for position, event in sorted(self.events.items()) if position > after][:limit]
        last = found[-1].position if found else None
        return Page(events=found, unreadable=(), last=last, head=max(self.events, default=0))


def reader(state: State, source: Given, worked: Worked, **more: Any) -> Follower:
    return Follower(source, state, more.pop("keys", None) or keys(), worked, **more)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state", FEED, baseline=None)


def turns(follower: Follower, count: int) -> None:
    for _ in range(count):
        follower.turn()


FEED_OF_TEN = [at(position) for position in range(1, 11)]


@settings(max_examples=60, deadline=None)
@given(st.permutations(FEED_OF_TEN), st.lists(st.sampled_from(FEED_OF_TEN), max_size=15), st.integers(1, 5))
def test_events_in_any_order_are_processed_once_and_in_order(
    order: list[Envelope], again: list[Envelope], size: int
) -> None:
    came = [*order, *again]
    batches = [came[start : start + size] for start in range(0, len(came), size)]
    with TemporaryDirectory() as folder:
        state = State(Path(folder) / "state", FEED, baseline=None)
        worked = Worked()
        follower = reader(state, Given([*batches]), worked)
        turns(follower, len(batches))
        assert worked.events == [*range(1, 11)]
        assert (worked.findings, follower.repeats) == ([], len(again))
        assert state.next_position == 11
        state.close()


def test_event_behind_a_gap_is_not_committed(state: State) -> None:
    source, worked = Given([[at(1), at(3)], [at(2)]]), Worked()
    follower = reader(state, source, worked)
    follower.turn()
    assert worked.events == [1]
    assert 3 not in source.done
    follower.turn()
    assert worked.events == [1, 2, 3]
    assert 3 in source.done


def test_crash_loses_no_event_and_repeats_no_recorded_one(tmp_path: Path) -> None:
    first = State(tmp_path / "state", FEED, baseline=None)
    worked = Worked(fails_at=4)
    with pytest.raises(BrokenPipeError):
        turns(reader(first, Given([[at(1), at(2)], [at(3), at(4)]]), worked), 2)
    first.close()
    assert worked.events == [1, 2, 3], "3 was worked and not booked: it comes again"
    second = State(tmp_path / "state", FEED, baseline=None)
    again = Worked()
    turns(reader(second, Given([[at(1), at(2)], [at(3), at(4)]]), again), 2)
    assert again.events == [3, 4]


def test_gap_is_fetched_after_the_timeout(state: State) -> None:
    http, clock, worked = HTTP(*FEED_OF_TEN), Clock(), Worked()
    source = Given([[at(1), at(4)], [], []])
    follower = reader(state, source, worked, client=http, patience=Patience(seconds=60, clock=clock))
    follower.turn()
    clock.now = 59
    follower.turn()
    assert (worked.events, http.asked) == ([1], [])
    clock.now = 60
    follower.turn()
    assert (worked.events, worked.findings, http.asked) == ([1, 2, 3, 4], [], [1])


@pytest.mark.parametrize("client", [None, HTTP(at(1), at(3), at(4))])
def test_lost_event_is_reported_and_skipped(state: State, client: HTTP | None) -> None:
    clock, worked = Clock(), Worked()
    source = Given([[at(1), at(4)], []])
    follower = reader(state, source, worked, client=client, patience=Patience(seconds=5, clock=clock))
    follower.turn()
    clock.now = 6
    follower.turn()
    lost = [2] if client else [2, 3]
    assert worked.findings == [("gap", position) for position in lost]
    assert worked.events == [position for position in (1, 2, 3, 4) if position not in lost]


def test_gap_is_kept_open_while_http_is_unavailable(state: State) -> None:
    http, clock, worked = HTTP(*FEED_OF_TEN, away=2), Clock(), Worked()
    follower = reader(state, Given([[at(2)]]), worked, client=http, patience=Patience(seconds=0, clock=clock))
    for _ in range(2):
        with pytest.raises(APIUnavailable):
            follower.turn()
        assert (worked.events, worked.findings) == ([], [])
    follower.turn()
    assert worked.events == [1, 2]


def test_forged_event_is_reported_once_and_the_true_one_fetched(state: State) -> None:
    forged = replace(at(2), data=b'{"renewal_id":"x"}')
    http, worked = HTTP(*FEED_OF_TEN), Worked()
    source = Given([[at(1), forged, at(3)], [forged]])
    follower = reader(state, source, worked, client=http, patience=Patience(seconds=0))
    turns(follower, 2)
    assert worked.findings == [("forged", 2)]
    assert worked.events == [1, 2, 3]


def test_event_forged_at_the_source_is_skipped_even_at_the_head(state: State) -> None:
    forged = replace(at(2), time=at(3).time)
    worked = Worked()
    follower = reader(state, Given([[at(1), forged], [at(3)]], complete=True), worked)
    follower.turn()
    assert worked.findings == [("forged", 2), ("gap", 2)]
    follower.turn()
    assert worked.events == [1, 3]


def test_second_event_at_a_position_is_a_conflict(state: State) -> None:
    other = signed(replace(at(2), id=uuid.uuid4()))
    worked = Worked()
    turns(reader(state, Given([[at(1), at(2)], [other], [other]]), worked), 3)
    assert worked.events == [1, 2]
    assert worked.findings == [("conflict", 2)]


def test_gap_in_a_renewals_sequence_is_reported(state: State) -> None:
    events = [
        at(1, renewal=7, sequence=1),
        at(2, renewal=7, sequence=2),
        at(3, renewal=7, sequence=4),
        at(4, renewal=8, sequence=2),
    ]
    worked = Worked()
    reader(state, Given([events]), worked).turn()
    assert worked.events == [1, 2, 3, 4]
    assert worked.findings == [("out-of-sequence", 3), ("out-of-sequence", 4)]


def test_start_in_the_middle_requires_all_later_numbers_of_each_renewal(tmp_path: Path) -> None:
    state = State(tmp_path / "state", FEED, baseline=5)
    events = [at(position, renewal=7, sequence=position) for position in range(1, 9)]
    worked = Worked()
    reader(state, Given([[*events, at(9, renewal=7, sequence=8)]]), worked).turn()
    assert worked.events == [6, 7, 8, 9]
    assert worked.findings == [("out-of-sequence", 9)]
    state.close()
    with pytest.raises(AnotherBeginning):
        State(tmp_path / "state", FEED, baseline=4)
    assert State(tmp_path / "state", FEED, baseline=None).baseline == 5


def test_unknown_event_version_is_reported_and_keeps_its_position(state: State) -> None:
    newer = signed(replace(at(2), type="hk.ecert.issuance.issuance-withheld.v2", dataschema="urn:x"))
    worked = Worked()
    reader(state, Given([[at(1), newer, at(3)]]), worked).turn()
    assert worked.events == [1, 2, 3]
    assert worked.findings == [("unknown-type", 2)]


def test_data_that_its_schema_refuses_is_reported_and_skipped(state: State) -> None:
    odd = signed(replace(at(2), data=b'{"renewal_id":7}'))
    worked = Worked()
    reader(state, Given([[at(1), odd, at(3)]]), worked).turn()
    assert worked.events == [1, 2, 3]
    assert worked.findings == [("unreadable", 2)]


def test_unknown_key_reloads_the_key_set_at_a_limited_rate(state: State) -> None:
    new = signing_key("feed of next year")
    published = [KeySet(keys={}), key_set("feed"), KeySet.parse({"keys": [new.jwk()]})]
    asked: list[int] = []

    def load() -> KeySet:
        asked.append(len(asked))
        return published[min(len(asked) - 1, 2)]

    clock = Clock()
    ring = KeyRing(load, clock)
    worked = Worked()
    reader(state, Given([[at(1)]]), worked, keys=ring).turn()
    assert (worked.events, len(asked)) == ([1], 2)
    forged = [replace(at(position), data=b"{}") for position in range(2, 20)]
    reader(state, Given([forged]), worked, keys=ring).turn()
    assert len(asked) == 2


def test_withdrawn_key_is_trusted_for_five_minutes_at_most() -> None:
    published, clock = [key_set("feed")], Clock()
    ring = KeyRing(lambda: published[-1], clock)
    published.append(KeySet(keys={}))
    clock.now = 299.0
    assert ring.verify(at(1)) is None
    clock.now = 300.0
    assert ring.verify(at(2)) == "the signature's key is not published"


def test_unavailable_key_set_loses_no_event(state: State) -> None:
    answers: list[KeySet | None] = [KeySet(keys={}), None, key_set("feed")]

    def load() -> KeySet:
        if (answer := answers.pop(0)) is None:
            raise APIUnavailable("away")
        return answer

    source, worked = Given([[at(1), at(2)]]), Worked()
    follower = reader(state, source, worked, keys=KeyRing(load, Clock()))
    with pytest.raises(APIUnavailable):
        follower.turn()
    assert (source.done, worked.findings) == (set(), [])
    follower.turn()
    assert worked.events == [1, 2]


def test_replay_reports_events_forged_or_lost_since(state: State) -> None:
    """Findings on events that were good when they were recorded; a position that never came is not named again."""
    reader(state, Given([[at(1), at(2), at(3), at(5)]], complete=True), Worked()).turn()
    served = HTTP(at(1), replace(at(2), data=b"{}"), at(5))
    options, worked = Namespace(since=BEGAN, from_serial=None), Worked()
    look_back(options, state, served, keys(), worked)  # type: ignore[arg-type]
    assert (worked.events, worked.findings) == ([1, 5], [("forged", 2), ("gap", 3)])


def test_too_many_waiting_events_stop_polling(state: State) -> None:
    many: Sequence[Envelope] = [at(position) for position in range(2, MAX_WAITING + 2)]
    http = HTTP(at(1), *many, away=3)
    source, worked = Given([many, [at(MAX_WAITING + 2)]]), Worked()
    follower = reader(state, source, worked, client=http)
    with pytest.raises(APIUnavailable):
        follower.turn()
    for _ in range(2):
        with pytest.raises(APIUnavailable):
            follower.turn()
    assert (source.rests, len(source.batches)) == (2, 1)
    turns(follower, 2)
    assert worked.events == [*range(1, MAX_WAITING + 3)]
