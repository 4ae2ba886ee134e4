"""Paid periods: whole days in Hong Kong that follow each other without a gap or an overlap."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.application.period import Period, today, year_from, year_until

DAY = timedelta(days=1)
FIRST_DAYS = st.dates(min_value=date(2020, 1, 1), max_value=date(2100, 12, 31))


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 11, 23), date(2027, 11, 22)),
        (date(2027, 1, 1), date(2027, 12, 31)),
        (date(2027, 3, 1), date(2028, 2, 29)),
        (date(2028, 2, 29), date(2029, 2, 28)),
        (date(2028, 3, 1), date(2029, 2, 28)),
    ],
)
def test_year_ends_the_day_before_its_anniversary(first: date, last: date) -> None:
    assert year_from(first) == Period(first=first, last=last)


@given(FIRST_DAYS)
def test_years_follow_each_other_without_gap_or_overlap(first: date) -> None:
    period = year_from(first)
    for _ in range(5):
        following = period.next_year()
        assert following.first == period.last + DAY
        assert (following.last - following.first).days + 1 in (365, 366)
        period = following
    assert abs((period.first - first.replace(year=first.year + 5, day=min(first.day, 28))).days) <= 3


@pytest.mark.parametrize(
    ("end", "first", "last"),
    [
        # 15 December in Hong Kong begins at 16:00 on the 14th in UTC.
        (datetime(2026, 12, 14, 15, 59, 59, tzinfo=UTC), date(2025, 12, 15), date(2026, 12, 14)),
        (datetime(2026, 12, 14, 16, 0, tzinfo=UTC), date(2025, 12, 16), date(2026, 12, 15)),
        (datetime(2028, 2, 28, 12, 0, tzinfo=UTC), date(2027, 3, 1), date(2028, 2, 28)),
        (datetime(2028, 2, 29, 12, 0, tzinfo=UTC), date(2027, 3, 1), date(2028, 2, 29)),
    ],
)
def test_year_of_a_certificate_ends_on_its_last_day_in_hong_kong(end: datetime, first: date, last: date) -> None:
    assert year_until(end) == Period(first=first, last=last)


def test_period_ends_at_midnight_in_hong_kong() -> None:
    period = Period(first=date(2026, 1, 1), last=date(2026, 12, 31))
    assert period.ends_at == datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert today(period.ends_at - timedelta(seconds=1)) == period.last
    assert period.opens_on(90) == date(2026, 10, 2)
