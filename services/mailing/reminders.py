"""Reminder of the end of a paid period: what its e-mail says beside the item."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from services.mailing.refusals import NumberUnusable
from shared.events.application import RenewalReminderDue

_NUMBER: Final = re.compile(r"[0-9A-Za-z]{1,40}")


def content_of(event: RenewalReminderDue, *, portal: str, today: date) -> Mapping[str, object]:
    """Return the content; without a safe start if that day is over.

    Raises NumberUnusable: no text of an intruder in application is mailed.
    """
    if not all(map(_NUMBER.fullmatch, (event.srn, event.serial))):
        raise NumberUnusable("not the number of a subscription or certificate")
    return {
        "srn": event.srn,
        "serial": event.serial,
        "paid_until": event.paid_until.isoformat(),
        "days_left": (event.paid_until - today).days,
        "safe_start": event.latest_safe_start.isoformat() if event.latest_safe_start >= today else None,
        "portal": portal,
    }
