"""Working days in Hong Kong: those on which registered mail is delivered and CA staff work.

Saturdays, Sundays and general holidays (General Holidays Ordinance, Cap. 149) are none. The library calculates the
general holidays of each year until 2099, also of those that are not gazetted yet; from 2100 on only weekends are known.
It does not know days that are added by a special notice, and nobody knows on which days a typhoon will stop the mail:
the margin of the lead times is for both.
"""

from bisect import bisect_right
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from holidays import country_holidays

_SATURDAY: Final = 5
# Years of which the library knows the Chinese calendar.
_LAST_KNOWN_YEAR: Final = 2099
# The library's category of general holidays. Its other one is of statutory holidays, fewer until 2030.
_GENERAL: Final = "optional"


def is_working_day(day: date) -> bool:
    """Return whether the day is a working day."""
    return day in _days_of(day.year)


def working_days_between(after: date, until: date) -> int:
    """Return the number of working days after `after`, up to and including `until`; negative if `until` is earlier."""
    if until < after:
        return -working_days_between(until, after)
    return sum(
        bisect_right(_days_of(year), until) - bisect_right(_days_of(year), after)
        for year in range(after.year, until.year + 1)
    )


def working_day_after(day: date, number: int) -> date:
    """Return the day that is so many working days later; for 0 the day itself, which need not be a working day."""
    if number == 0:
        return day
    year, position = day.year, bisect_right(_days_of(day.year), day) + number - 1
    while position >= len(_days_of(year)):
        position -= len(_days_of(year))
        year += 1
    return _days_of(year)[position]


def last_working_day(until: date, number: int) -> date:
    """Return the last working day up to and including `until`; for 2 the one before it, and so on."""
    year, position = until.year, bisect_right(_days_of(until.year), until) - number
    while position < 0:
        year -= 1
        position += len(_days_of(year))
    return _days_of(year)[position]


@lru_cache(maxsize=16)
def _days_of(year: int) -> tuple[date, ...]:
    holidays = set(country_holidays("HK", years=year, categories=_GENERAL)) if year <= _LAST_KNOWN_YEAR else set()
    first = date(year, 1, 1)
    days = (first + timedelta(days=number) for number in range((date(year + 1, 1, 1) - first).days))
    return tuple(day for day in days if day.weekday() < _SATURDAY and day not in holidays)
