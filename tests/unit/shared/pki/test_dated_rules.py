"""Dated rules that several services apply, to the second."""

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.pki.dated_rules import Dated, NothingInForce, organisation_reusable, organisation_reusable_until

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DAYS_398 = timedelta(days=398)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("age", "reusable"),
    [
        (timedelta(), True),
        (timedelta(days=1), True),
        (DAYS_398 - SECOND, True),
        (DAYS_398, True),
        (DAYS_398 + timedelta(microseconds=1), False),
        (DAYS_398 + SECOND, False),
        (-SECOND, False),
    ],
)
def test_organisation_is_reusable_for_398_days_to_the_second(age: timedelta, reusable: bool) -> None:
    assert organisation_reusable(NOW - age, NOW) is reusable
    assert (organisation_reusable_until(NOW - age, NOW) >= NOW) is (reusable or age < timedelta())


def test_dated_value_changes_at_midnight_utc() -> None:
    table = Dated(((date(2026, 3, 15), 200), (date(2027, 3, 15), 100)))
    assert table.at(datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC)) == 200
    assert table.at(datetime(2027, 3, 15, tzinfo=UTC)) == 100
    with pytest.raises(NothingInForce):
        table.at(datetime(2026, 3, 14, 23, 59, 59, tzinfo=UTC))
