"""Rules for SCTs: how many, of how many operators, by lifetime; and the choice of logs."""

from datetime import datetime, timedelta

import pytest

from services.issuance.ca.validity_policy import validity
from services.issuance.ct import policy
from services.issuance.ct.log_list import Log, Protocol
from tests.unit.services.issuance.pki import NOW

RFC, STATIC = Protocol.RFC_6962, Protocol.STATIC


def log(name: str, *, state: str = "usable", begins: datetime | None = None, ends: datetime | None = None) -> Log:
    """Return a log of the operator of the name's first letter; static if it ends with `s`."""
    return Log(
        log_id=name.encode(),
        key=b"",
        description=name,
        operator=name[0],
        protocol=STATIC if name.endswith("s") else RFC,
        url="",
        monitoring_url="",
        mmd_seconds=1,
        states={state: NOW - timedelta(days=400)},
        begins=begins,
        ends=ends,
    )


def logs(names: str) -> list[Log]:
    return [log(name) for name in names.split()]


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("lifetime", "count"),
    [(timedelta(days=180), 2), (timedelta(days=180) + SECOND, 3), (timedelta(days=199), 3), (timedelta(days=46), 2)],
)
def test_number_of_scts_follows_from_the_lifetime(lifetime: timedelta, count: int) -> None:
    assert policy.rule_for(NOW, NOW + lifetime - SECOND, NOW).scts == count


@pytest.mark.parametrize(
    ("signed_at", "count"),
    [("2027-03-14T23:59:59+00:00", 3), ("2027-03-15T00:00:00+00:00", 2), ("2029-03-15T00:00:00+00:00", 2)],
)
def test_shorter_lifetimes_from_march_2027_need_two_scts(signed_at: str, count: int) -> None:
    now = datetime.fromisoformat(signed_at)
    lives = validity(now)
    assert policy.rule_for(lives.not_before, lives.not_after, now).scts == count


def test_no_rule_before_the_first_day() -> None:
    early = NOW - timedelta(days=1000)
    with pytest.raises(ValueError):
        policy.rule_for(early, early, early)


LONG = policy.rule_for(NOW, NOW + timedelta(days=199), NOW)
SHORT = policy.rule_for(NOW, NOW + timedelta(days=90), NOW)


@pytest.mark.parametrize(
    ("names", "long", "short"),
    [
        ("a1 a2s b1", True, False),
        ("a1 b1 c1", True, True),
        ("a1 b1", False, True),
        ("a1s b1s", False, False),
        ("a1s b1s c1s", False, False),
        ("a1 a2 a3", False, False),
        ("a1 a2 a3 b1", False, False),
        ("a1 a1 b1", False, False),
        ("", False, False),
    ],
)
def test_set_of_logs_meets_the_rule_or_not(names: str, long: bool, short: bool) -> None:
    assert (LONG.is_met(logs(names)), SHORT.is_met(logs(names))) == (long, short)


@pytest.mark.parametrize(
    ("have", "able", "long", "short"),
    [
        ("", "a1 a2 b1 b2", "a1 a2 b1", "a1 b1"),
        ("a1", "a1 a2 b1 b2", "a2 b1", "b1"),
        ("a1s", "a1s a2s b1s b2 c1s", "a2s b2", "b2"),
        ("a1 a2 b1", "a1 a2 b1", "", ""),
        ("a1 a2", "a1 a2 a3", None, None),
        ("a1s b1s", "a1s b1s a2 b2 c1s", "a2", "a2"),
        ("", "a1 a2 a3", None, None),
        ("", "", None, None),
    ],
)
def test_fewest_further_logs_complete_the_set(have: str, able: str, long: str | None, short: str | None) -> None:
    for rule, expected in ((LONG, long), (SHORT, short)):
        found = policy.complete(rule, logs(have), logs(able))
        assert found == (None if expected is None else logs(expected))


def test_chosen_set_has_no_sct_too_many() -> None:
    assert policy.chosen(SHORT, logs("a1s a2s b1s a3")) == logs("b1s a3")
    assert policy.chosen(SHORT, logs("a1s b1s")) is None


def test_candidates_take_the_certificate_and_the_known_ones_come_first() -> None:
    end = NOW + timedelta(days=199)
    fitting = log("a1", begins=end, ends=end + SECOND)
    over, early = log("a2", begins=NOW, ends=end), log("a3", begins=end + SECOND)
    fresh, retired = log("b1", state="qualified"), log("b2", state="retired")
    assert policy.candidates([fresh, over, early, retired, fitting], end, NOW) == [fitting, fresh]
