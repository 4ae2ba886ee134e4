"""Reminders of the end of a paid period or of a certificate: what their e-mails say beside the item."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from services.mailing.refusals import NumberUnusable
from shared.events.application import ReissueReminderDue, RenewalReminderDue

_NUMBER: Final = re.compile(r"[0-9A-Za-z]{1,40}")


def reissue_content_of(event: ReissueReminderDue, *, portal: str, today: date) -> Mapping[str, object]:
    """Return the content of the reminder of a certificate's end. Raises NumberUnusable."""
    _check_numbers(event.srn, event.serial)
    return {
        "srn": event.srn,
        "serial": event.serial,
        "certificate_until": event.certificate_until.isoformat(),
        "paid_until": event.paid_until.isoformat(),
        "days_left": (event.certificate_until - today).days,
        "portal": portal,
    }


def content_of(event: RenewalReminderDue, *, portal: str, today: date) -> Mapping[str, object]:
    """Return the content; without a safe start if that day is over.

    Raises NumberUnusable: no text of an intruder in application is mailed.
    """
    _check_numbers(event.srn, event.serial)
    return {
        "srn": event.srn,
        "serial": event.serial,
        "paid_until": event.paid_until.isoformat(),
        "days_left": (event.paid_until - today).days,
        "safe_start": event.latest_safe_start.isoformat() if event.latest_safe_start >= today else None,
        "portal": portal,
    }


def _check_numbers(*numbers: str) -> None:
    if not all(map(_NUMBER.fullmatch, numbers)):
        raise NumberUnusable("not the number of a subscription or certificate")
