"""Dated rules that several services apply: values that change on given days, and the reuse of register evidence."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shared.errors import Refused

DAY: Final = timedelta(days=1)


class NothingInForce(Refused):
    """The table has no value for such an early time."""

    reason = "no-policy-in-force"


@dataclass(frozen=True)
class Dated:
    """A value that changes on given days, at 00:00 UTC. Rows in order of time."""

    rows: tuple[tuple[date, int], ...]

    def at(self, moment: datetime) -> int:
        """Return the value in force at this time. Raises NothingInForce."""
        day = moment.astimezone(UTC).date()
        value = next((value for start, value in reversed(self.rows) if start <= day), None)
        if value is None:
            raise NothingInForce(f"{day}")
        return value


# Baseline Requirements 4.2.1: maximum age of the verification of an organisation's identity, and of the authority of
# its representative, when the certificate is signed.
ORGANISATION_REUSE_DAYS: Final = Dated(((date(2026, 3, 15), 398),))


def organisation_reusable(verified_at: datetime, now: datetime) -> bool:
    """Return whether organisation or authority, verified at that time, may be used for a certificate signed now."""
    return verified_at <= now <= organisation_reusable_until(verified_at, now)


def organisation_reusable_until(verified_at: datetime, now: datetime) -> datetime:
    """Return the last moment at which a certificate may be signed on such a verification, by the rule of today."""
    return verified_at + ORGANISATION_REUSE_DAYS.at(now) * DAY
