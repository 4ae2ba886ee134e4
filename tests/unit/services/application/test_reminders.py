"""Reminders of the end of a paid period: which one is due, and when the next look is."""

from datetime import date, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.application.reminders import due_reminder, next_look

LAST: Final = date(2027, 1, 31)
SCHEDULE: Final = (90, 60, 30, 14, 7, 1)
DAY: Final = timedelta(days=1)


@pytest.mark.parametrize(
    ("left", "due", "next_left"),
    [
        (91, None, 90),
        (90, 90, 60),
        (61, 90, 60),
        (60, 60, 30),
        (15, 30, 14),
        (14, 14, 7),
        (2, 7, 1),
        (1, 1, -29),
        (0, 1, -30),
        (-1, None, -31),
    ],
)
def test_reminder_that_is_due_is_the_most_urgent_one(left: int, due: int | None, next_left: int) -> None:
    day = LAST - left * DAY
    assert due_reminder(LAST, day, SCHEDULE) == due
    assert next_look(LAST, day, SCHEDULE) == LAST - next_left * DAY


@given(
    schedule=st.lists(st.integers(0, 120), min_size=1, max_size=8),
    looks=st.sets(st.integers(-10, 150), max_size=20),
)
def test_looks_that_are_missed_send_no_reminder_twice_and_none_that_is_less_urgent(
    schedule: list[int], looks: set[int]
) -> None:
    decided = [(left, due_reminder(LAST, LAST - left * DAY, schedule)) for left in sorted(looks, reverse=True)]
    sent = [due for _, due in decided if due is not None]
    assert sent == sorted(sent, reverse=True)
    assert all(left <= due for left, due in decided if due is not None)


@given(schedule=st.lists(st.integers(0, 120), min_size=1, max_size=8), left=st.integers(0, 200))
def test_each_reminder_of_a_period_has_its_look(schedule: list[int], left: int) -> None:
    day, seen = LAST - left * DAY, set()
    while day <= LAST:
        seen.add(due_reminder(LAST, day, schedule))
        day = next_look(LAST, day, schedule)
    assert {days for days in schedule if days < left} <= seen
