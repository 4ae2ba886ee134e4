"""Working days in Hong Kong, the latest safe start, and slack."""

from datetime import date, timedelta
from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.application.safe_start import LeadTimes, Progress, latest_safe_start, slack_days
from services.application.working_days import (
    is_working_day,
    last_working_day,
    working_day_after,
    working_days_between,
)

DAY: Final = timedelta(days=1)
LEAD: Final = LeadTimes(printing=1, mail=2, csr=2, validation=10, margin=3)
DAYS: Final = st.dates(date(2024, 1, 1), date(2040, 12, 31))
LEADS: Final = st.builds(
    LeadTimes,
    printing=st.integers(0, 5),
    mail=st.integers(0, 5),
    csr=st.integers(0, 10),
    validation=st.integers(0, 30),
    margin=st.integers(0, 30),
)

# The general holidays of the Gazette, each year's in one line.
GAZETTED: Final = {
    2025: "01-01 01-29 01-30 01-31 04-04 04-18 04-19 04-21 05-01 05-05 05-31 07-01 10-01 10-07 10-29 12-25 12-26",
    2026: "01-01 02-17 02-18 02-19 04-03 04-04 04-06 04-07 05-01 05-25 06-19 07-01 09-26 10-01 10-19 12-25 12-26",
    2027: "01-01 02-06 02-08 02-09 03-26 03-27 03-29 04-05 05-01 05-13 06-09 07-01 09-16 10-01 10-08 12-25 12-27",
}


@pytest.mark.parametrize("year", GAZETTED)
def test_working_days_of_a_gazetted_year_are_the_weekdays_that_are_no_general_holiday(year: int) -> None:
    holidays = {date.fromisoformat(f"{year}-{day}") for day in GAZETTED[year].split()}
    days = [date(year, 1, 1) + number * DAY for number in range(365)]
    assert [day for day in days if is_working_day(day)] == [
        day for day in days if day.weekday() < 5 and day not in holidays
    ]


def test_working_days_of_a_year_beyond_the_library_are_its_weekdays() -> None:
    assert is_working_day(date(2101, 10, 5))
    assert is_working_day(date(2101, 12, 26) + DAY)
    assert not is_working_day(date(2101, 10, 1) + DAY)


@given(day=DAYS, number=st.integers(1, 400))
def test_working_day_after_is_that_many_working_days_away(day: date, number: int) -> None:
    later = working_day_after(day, number)
    assert is_working_day(later)
    assert working_days_between(day, later) == number
    assert working_days_between(later, day) == -number
    assert last_working_day(later, number) == working_day_after(day, 1)


@pytest.mark.parametrize(
    ("last_day", "start", "why"),
    [
        (date(2026, 8, 31), date(2026, 8, 5), "18 working days with no holiday among them"),
        (date(2026, 8, 30), date(2026, 8, 4), "a Sunday: no working day, so the Friday before counts"),
        (date(2026, 2, 28), date(2026, 1, 29), "three days of Lunar New Year within the week"),
        (date(2027, 2, 12), date(2027, 1, 17), "Lunar New Year on a Saturday, with a fourth day instead; a Sunday"),
        (date(2026, 4, 10), date(2026, 3, 12), "Easter with Ching Ming: Friday, Monday and Tuesday"),
        (date(2027, 4, 6), date(2027, 3, 8), "Easter, and Ching Ming a week later"),
        (date(2026, 12, 31), date(2026, 12, 6), "Christmas, its second day on a Saturday; a Sunday"),
        (date(2028, 1, 5), date(2027, 12, 9), "Christmas, with Monday instead of a Sunday, and the year's end"),
    ],
)
def test_latest_safe_start_walks_back_over_holidays(last_day: date, start: date, why: str) -> None:
    assert latest_safe_start(last_day, LEAD) == start, why


@pytest.mark.parametrize(
    ("today", "progress", "slack"),
    [
        (date(2026, 8, 3), Progress(), 2),
        (date(2026, 8, 5), Progress(), 0),
        (date(2026, 8, 6), Progress(), -1),
        (date(2026, 9, 30), Progress(), -40),
        # On schedule nothing is used up, while a step lasts as long as it should.
        (date(2026, 8, 5), Progress(paid_on=date(2026, 8, 5)), 0),
        (date(2026, 8, 12), Progress(paid_on=date(2026, 8, 5)), 0),
        (date(2026, 8, 13), Progress(paid_on=date(2026, 8, 5)), -1),
        (date(2026, 8, 12), Progress(paid_on=date(2026, 8, 5), csr_on=date(2026, 8, 10)), 2),
        (date(2026, 8, 24), Progress(paid_on=date(2026, 8, 5), csr_on=date(2026, 8, 10)), 2),
        (date(2026, 8, 25), Progress(paid_on=date(2026, 8, 5), csr_on=date(2026, 8, 10)), 1),
    ],
)
def test_slack_counts_the_working_days_that_are_not_needed(today: date, progress: Progress, slack: int) -> None:
    assert slack_days(today, date(2026, 8, 31), LEAD, progress) == slack


@given(last_day=DAYS, later=st.integers(0, 400), lead=LEADS)
def test_latest_safe_start_of_a_later_end_is_never_earlier(last_day: date, later: int, lead: LeadTimes) -> None:
    assert latest_safe_start(last_day, lead) <= latest_safe_start(last_day + later * DAY, lead)


@given(last_day=DAYS, lead=LEADS)
def test_slack_on_the_latest_safe_start_is_none_and_the_day_after_below_zero(last_day: date, lead: LeadTimes) -> None:
    assume(lead.total > 0)
    start = latest_safe_start(last_day, lead)
    assert slack_days(start, last_day, lead) == 0
    assert slack_days(start + DAY, last_day, lead) == -1


@given(
    today=DAYS,
    left=st.integers(-200, 400),
    lead=LEADS,
    paid=st.none() | st.integers(0, 99),
    csr=st.none() | st.integers(0, 99),
)
def test_slack_falls_by_one_a_day_at_most_and_never_rises_by_itself(
    today: date, left: int, lead: LeadTimes, paid: int | None, csr: int | None
) -> None:
    progress = Progress(
        paid_on=None if paid is None else today - paid * DAY, csr_on=None if csr is None else today - csr * DAY
    )
    last_day = today + left * DAY
    lost = slack_days(today, last_day, lead, progress) - slack_days(today + DAY, last_day, lead, progress)
    assert lost in (0, 1)


@given(today=DAYS, left=st.integers(-200, 400), lead=LEADS, paid=st.integers(0, 99))
def test_slack_of_a_renewal_that_was_paid_is_never_less_than_of_one_that_was_not(
    today: date, left: int, lead: LeadTimes, paid: int
) -> None:
    last_day = today + left * DAY
    begun = slack_days(today, last_day, lead, Progress(paid_on=today - paid * DAY))
    assert begun >= slack_days(today, last_day, lead)
