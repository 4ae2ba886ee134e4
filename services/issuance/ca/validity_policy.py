"""Dated policies: validity of certificates, and how long a domain validation may be reused."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from shared.errors import Refused
from shared.pki.dated_rules import DAY, Dated
from shared.vocabulary import HONG_KONG


class SubscriptionOver(Refused):
    """The subscription ends before a certificate could begin."""

    reason = "subscription-over"


# Baseline Requirements 6.3.2: our certificates stay a day under the limit, as the SHOULD NOT there asks.
MAX_VALIDITY_DAYS: Final = Dated(((date(2026, 3, 15), 200), (date(2027, 3, 15), 100), (date(2029, 3, 15), 47)))
VALIDITY_DAYS: Final = Dated(((date(2026, 3, 15), 199), (date(2027, 3, 15), 99), (date(2029, 3, 15), 46)))
# Baseline Requirements 4.2.1: maximum age of verified data when the certificate is signed.
DOMAIN_REUSE_DAYS: Final = Dated(((date(2026, 3, 15), 200), (date(2027, 3, 15), 100), (date(2029, 3, 15), 10)))


@dataclass(frozen=True, kw_only=True)
class Validity:
    """A period from its first second to its last, both inside."""

    not_before: datetime
    not_after: datetime

    @property
    def days(self) -> int:
        """The days as the Baseline Requirements count them: the last second is inside; a second more is a day more."""
        seconds = int((self.not_after - self.not_before).total_seconds()) + 1
        return -(-seconds // 86_400)


def validity(now: datetime, *, paid_until: date | None = None) -> Validity:
    """Return the validity of a certificate signed now: the days in force, at most until the last paid day ends.

    Raises SubscriptionOver if that day, in Hong Kong, has ended; None sets no limit.
    """
    not_before = now.astimezone(UTC).replace(microsecond=0)
    not_after = not_before + VALIDITY_DAYS.at(not_before) * DAY - timedelta(seconds=1)
    if paid_until is not None:
        ends_at = datetime.combine(paid_until, time(23, 59, 59), HONG_KONG)
        not_after = min(not_after, ends_at.astimezone(UTC))
    if not_after <= not_before:
        raise SubscriptionOver(f"{paid_until}")
    return Validity(not_before=not_before, not_after=not_after)


def domain_reusable(obtained_at: datetime, now: datetime) -> bool:
    """Return whether a domain validation of that age may be used for a certificate signed now."""
    return obtained_at <= now <= obtained_at + DOMAIN_REUSE_DAYS.at(now) * DAY


def domain_reusable_until(obtained_at: datetime) -> datetime:
    """Return until when a domain validation may be used: a shorter period that comes into force ends it early."""
    until = datetime.max.replace(tzinfo=UTC)
    for start, days in reversed(DOMAIN_REUSE_DAYS.rows):
        begins = datetime(start.year, start.month, start.day, tzinfo=UTC)
        end = obtained_at + days * DAY
        if end < until:
            until = max(end, begins)
        if begins <= obtained_at:
            break
    return until
