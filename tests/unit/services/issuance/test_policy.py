"""Numbers that change by date, to the second."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.issuance.ca.validity_policy import (
    SubscriptionOver,
    domain_reusable,
    validity,
)
from shared.pki.dated_rules import NothingInForce

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        (datetime(2026, 11, 23, 12, tzinfo=UTC), 199),
        (datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC), 199),
        (datetime(2027, 3, 15, tzinfo=UTC), 99),
        (datetime(2029, 3, 14, 23, 59, 59, tzinfo=UTC), 99),
        (datetime(2029, 3, 15, tzinfo=UTC), 46),
    ],
)
def test_validity_follows_the_dated_table_and_counts_the_last_second(moment: datetime, days: int) -> None:
    lives = validity(moment)
    assert lives.not_after - lives.not_before == timedelta(days=days) - SECOND
    assert lives.days == days


def test_not_before_is_now_in_whole_seconds() -> None:
    assert validity(datetime(2026, 11, 23, 12, 0, 0, 999_999, tzinfo=UTC)).not_before.microsecond == 0


def test_certificate_ends_with_its_subscription() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    # The last second of 23 December in Hong Kong.
    assert validity(now, paid_until=date(2026, 12, 23)).not_after == datetime(2026, 12, 23, 15, 59, 59, tzinfo=UTC)
    assert validity(now, paid_until=date(2027, 12, 31)).days == 199
    assert validity(now, paid_until=date(2026, 11, 23)).not_after == datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)
    with pytest.raises(SubscriptionOver):
        validity(now, paid_until=date(2026, 11, 22))


def test_issuance_outside_the_dated_table_is_refused() -> None:
    with pytest.raises(NothingInForce):
        validity(datetime(2026, 3, 14, tzinfo=UTC))


def test_verified_data_is_reused_only_within_its_period() -> None:
    now = datetime(2029, 3, 15, tzinfo=UTC)
    assert domain_reusable(now - timedelta(days=10), now)
    assert not domain_reusable(now - timedelta(days=10) - SECOND, now)
    assert not domain_reusable(now + SECOND, now)
