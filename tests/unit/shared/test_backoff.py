"""The delay before the next attempt."""

from datetime import timedelta

from shared.backoff import Backoff


def test_backoff_doubles_from_its_first_delay_up_to_its_cap() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(minutes=1))
    assert [backoff.seconds(attempts) for attempts in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_backoff_of_milliseconds_is_exact() -> None:
    backoff = Backoff(timedelta(milliseconds=5), timedelta(milliseconds=250))
    assert [backoff.seconds(attempts) for attempts in (0, 1, 5, 6)] == [0.005, 0.01, 0.16, 0.25]


def test_backoff_after_years_of_attempts_is_its_cap() -> None:
    assert Backoff(timedelta(days=1), timedelta(days=9)).delay(10**9) == timedelta(days=9)


def test_cap_below_the_first_delay_wins() -> None:
    assert Backoff(timedelta(seconds=5), timedelta(seconds=1)).delay(0) == timedelta(seconds=1)
