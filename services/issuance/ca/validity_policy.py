"""Numbers that change by date: how long a certificate lives and for how long what was verified may be used again."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shared.errors import Refused

DAY: Final = timedelta(days=1)


class NothingInForce(Refused):
    """The table says nothing about a time this early."""

    reason = "no-policy-in-force"


class SubscriptionOver(Refused):
    """The subscription ends before a certificate could begin."""

    reason = "subscription-over"


@dataclass(frozen=True)
class Dated:
    """A value that changes on given days, at 00:00 UTC. Rows in order of time."""

    rows: tuple[tuple[date, int], ...]

    def at(self, moment: datetime) -> int:
        """The value in force at this moment. Raises NothingInForce."""
        day = moment.astimezone(UTC).date()
        value = next((value for start, value in reversed(self.rows) if start <= day), None)
        if value is None:
            raise NothingInForce(f"{day}")
        return value


# Baseline Requirements 6.3.2: what we issue stays a day under the limit, as the SHOULD NOT there asks.
MAX_VALIDITY_DAYS: Final = Dated(((date(2026, 3, 15), 200), (date(2027, 3, 15), 100), (date(2029, 3, 15), 47)))
VALIDITY_DAYS: Final = Dated(((date(2026, 3, 15), 199), (date(2027, 3, 15), 99), (date(2029, 3, 15), 46)))
# Baseline Requirements 4.2.1: how old what was verified may be when the certificate is signed.
DOMAIN_REUSE_DAYS: Final = Dated(((date(2026, 3, 15), 200), (date(2027, 3, 15), 100), (date(2029, 3, 15), 10)))
ORGANISATION_REUSE_DAYS: Final = Dated(((date(2026, 3, 15), 398),))


@dataclass(frozen=True, kw_only=True)
class Validity:
    """From the first second to the last, both inside."""

    not_before: datetime
    not_after: datetime

    @property
    def days(self) -> int:
        """Days as the Baseline Requirements count them: the last second is inside, a second more is a day more."""
        seconds = int((self.not_after - self.not_before).total_seconds()) + 1
        return -(-seconds // 86_400)


def validity(now: datetime, *, subscription_end: datetime | None = None) -> Validity:
    """How long a certificate signed now lives: the days in force, and not past what was paid for."""
    not_before = now.astimezone(UTC).replace(microsecond=0)
    not_after = not_before + VALIDITY_DAYS.at(not_before) * DAY - timedelta(seconds=1)
    if subscription_end is not None:
        not_after = min(not_after, subscription_end.astimezone(UTC).replace(microsecond=0))
    if not_after <= not_before:
        raise SubscriptionOver(f"{subscription_end}")
    return Validity(not_before=not_before, not_after=not_after)


def domain_reusable(obtained_at: datetime, now: datetime) -> bool:
    """Whether a domain validation of that age may be used for a certificate signed now."""
    return obtained_at <= now <= obtained_at + DOMAIN_REUSE_DAYS.at(now) * DAY


def organisation_reusable(obtained_at: datetime, now: datetime) -> bool:
    """Whether a verified organisation identity of that age may be used for a certificate signed now."""
    return obtained_at <= now <= obtained_at + ORGANISATION_REUSE_DAYS.at(now) * DAY
