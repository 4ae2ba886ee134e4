"""Paid period of a subscription: whole days in Hong Kong, both inclusive."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from shared.vocabulary import HONG_KONG

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Period:
    """The days that a fee pays for, from the first to the last, both inclusive."""

    first: date
    last: date

    @property
    def ends_at(self) -> datetime:
        """The first moment after the last day."""
        return _midnight(self.last + _DAY)

    def next_year(self) -> "Period":
        """Return the year that follows at once: no day is lost, and none is paid for twice."""
        return year_from(self.last + _DAY)

    def opens_on(self, days: int) -> date:
        """Return the day so many days before the last: from then on the next year can be bought."""
        return self.last - days * _DAY


def year_from(first: date) -> Period:
    """Return the year that begins on this day; one from 29 February ends on the 28th."""
    try:
        again = first.replace(year=first.year + 1)
    except ValueError:
        again = date(first.year + 1, 3, 1)
    return Period(first=first, last=again - _DAY)


def year_until(end: datetime) -> Period:
    """Return the year of which this moment is in the last day, for a certificate whose period nobody has recorded."""
    last = end.astimezone(HONG_KONG).date()
    after = last + _DAY
    try:
        first = after.replace(year=after.year - 1)
    except ValueError:
        first = date(after.year - 1, 3, 1)
    return Period(first=first, last=last)


def today(now: datetime) -> date:
    """Return the day in Hong Kong."""
    return now.astimezone(HONG_KONG).date()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=HONG_KONG)
