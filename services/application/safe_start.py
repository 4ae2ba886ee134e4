"""Latest safe start of a renewal: from the end of a paid period back over the working days that each step takes.

The steps follow each other: the PIN Envelopes are printed and sent by registered mail, the AR submits the CSRs, the
domains and the organisation are validated, the certificate is issued and installed. Slack is the number of working days
by which a renewal could begin, or be delayed, and still end in time; below zero it is expected to come too late.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from services.application.working_days import last_working_day, working_day_after, working_days_between

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class LeadTimes:
    """Working days that the steps of a renewal take; `margin` is left for the installation, and for what goes wrong."""

    printing: int
    mail: int
    csr: int
    validation: int
    margin: int

    @property
    def until_csr(self) -> int:
        """The time from the payment until the CSRs are submitted."""
        return self.printing + self.mail + self.csr

    @property
    def from_csr(self) -> int:
        """The time from the CSRs on, with the margin."""
        return self.validation + self.margin

    @property
    def total(self) -> int:
        """The time from the payment on, with the margin."""
        return self.until_csr + self.from_csr


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The days, in Hong Kong, on which a certificate's renewal was paid and its CSR received; None: not yet."""

    paid_on: date | None = None
    csr_on: date | None = None


NOT_BEGUN: Final = Progress()


def latest_safe_start(last_day: date, lead: LeadTimes) -> date:
    """Return the last day on which a renewal can be submitted and paid for, and every step ends by `last_day`.

    It need not be a working day: the first step begins on the next one.
    """
    return last_working_day(last_day, lead.total) - _DAY


def slack_days(today: date, last_day: date, lead: LeadTimes, progress: Progress = NOT_BEGUN) -> int:
    """Return the working days that are left between the expected end of the renewal and `last_day`.

    A step that takes longer than it should is expected to end today.
    """
    return working_days_between(_expected_end(today, lead, progress), last_day)


def _expected_end(today: date, lead: LeadTimes, progress: Progress) -> date:
    if progress.csr_on is not None:
        validated = max(today, working_day_after(progress.csr_on, lead.validation))
        return working_day_after(validated, lead.margin)
    if progress.paid_on is not None:
        submitted = max(today, working_day_after(progress.paid_on, lead.until_csr))
        return working_day_after(submitted, lead.from_csr)
    return working_day_after(today, lead.total)
