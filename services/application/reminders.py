"""Reminders of the end of a paid period, and of each certificate within it: announced to mailing, each at most once.

A subscription is looked at on the morning on which its next reminder is due. Only the most urgent one that is due is
announced: the earlier ones of a period have passed by then, also if no process ran on their days. None is announced
while a renewal is under way; if that ends without a certificate, the most urgent one is announced the morning after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from prometheus_client import Counter

from services.application import reminder_store, store
from services.application.period import today
from services.application.reminder_store import Due
from services.application.safe_start import LeadTimes, latest_safe_start
from shared.db import Pool
from shared.events.application import ReissueReminderDue, RenewalReminderDue
from shared.messaging import outbox
from shared.observability.metrics import preset
from shared.pki.suggested_windows import suggested_window
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import HONG_KONG, ItemId, RenewalId

_DAY: Final = timedelta(days=1)
_MORNING: Final = time(9, tzinfo=HONG_KONG)
# How often a subscription without a further reminder is looked at: it may have been renewed meanwhile.
_IDLE: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Schedules:
    """Days before the end of a paid period, and of a certificate within it, on which its AR is reminded."""

    period: Sequence[int]
    certificate: Sequence[int]


class Outcome(StrEnum):
    """Outcomes of a reminder. Unaddressed: no attestation names the AR of record, so mailing has no address."""

    ANNOUNCED = "announced"
    UNADDRESSED = "unaddressed"


REMINDERS: Final = preset(
    Counter("reminders_total", "Reminders of ends of paid periods and certificates by outcome", ["outcome"]),
    Outcome,
)


def due_reminder(last_day: date, day: date, schedule: Sequence[int]) -> int | None:
    """Return the most urgent reminder that is due on a day, as its days before the last one; None if none is."""
    left = (last_day - day).days
    return min((days for days in schedule if 0 <= left <= days), default=None)


def next_look(last_day: date, day: date, schedule: Sequence[int]) -> date:
    """Return the day of the next reminder of the period; if it has none left, a later day."""
    later = [last_day - days * _DAY for days in schedule if last_day - days * _DAY > day]
    return min(later, default=day + _IDLE)


def remind_next(pool: Pool, lead: LeadTimes, schedules: Schedules, *, clock: Clock = utc_now) -> bool:
    """Look at the reminders of one subscription that is due. Returns whether there was one."""
    with transaction(pool, clock=clock) as tx:
        srn = reminder_store.claim(tx.conn, tx.now)
    if srn is None:
        return False
    with claimed(), transaction(pool, clock=clock) as tx:
        found = reminder_store.find_item(tx.conn, srn)
        # As everywhere, a renewal is locked before its subscriptions.
        if found is not None:
            store.lock_renewal(tx.conn, found[0])
        due = reminder_store.lock(tx.conn, srn)
        day = today(tx.now)
        looks = (_remind_of_period(tx, due, day, lead, schedules), _remind_of_certificate(tx, due, day, schedules))
        reminder_store.save_next_look(tx.conn, srn, datetime.combine(min(looks), _MORNING))
    return True


def _remind_of_period(tx: Tx, due: Due, day: date, lead: LeadTimes, schedules: Schedules) -> date:
    """Announce what is due of the period's end. Returns the day of the next look."""
    days_before = due_reminder(due.paid_until, day, schedules.period)
    if days_before is not None and (due.being_renewed or due.standing != "active"):
        return day + _DAY
    if days_before is not None and (of := _recorded(tx, due, days_before)) is not None:
        outbox.add(
            tx,
            RenewalReminderDue(
                renewal_id=of[0],
                item_id=of[1],
                srn=due.srn,
                serial=due.serial,
                paid_until=due.paid_until,
                days_before=days_before,
                latest_safe_start=latest_safe_start(due.paid_until, lead),
            ),
        )
    return next_look(due.paid_until, day, schedules.period)


def _remind_of_certificate(tx: Tx, due: Due, day: date, schedules: Schedules) -> date:
    """Announce what is due of the end of a certificate before that of its period. Returns the day of the next look."""
    last_day = today(due.not_after)
    if last_day >= due.paid_until:
        return day + _IDLE
    schedule = certificate_schedule(due.certificate, schedules.certificate)
    days_before = due_reminder(last_day, day, schedule)
    if days_before is not None and (due.being_renewed or due.being_reissued or due.standing != "active"):
        return day + _DAY
    if days_before is not None and (of := _recorded(tx, due, days_before, serial=due.serial)) is not None:
        outbox.add(
            tx,
            ReissueReminderDue(
                renewal_id=of[0],
                item_id=of[1],
                srn=due.srn,
                serial=due.serial,
                certificate_until=last_day,
                paid_until=due.paid_until,
                days_before=days_before,
            ),
        )
    return next_look(last_day, day, schedule)


def certificate_schedule(certificate: str, days: Sequence[int]) -> tuple[int, ...]:
    """Return the days before a certificate's end on which its AR is reminded, from its suggested window on."""
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    not_after = parsed.not_valid_after_utc
    window = suggested_window(parsed.not_valid_before_utc, not_after, None)
    opens = (today(not_after) - today(window.start)).days
    return (opens, *(each for each in days if each < opens))


def _recorded(tx: Tx, due: Due, days_before: int, *, serial: str = "") -> tuple[RenewalId, ItemId] | None:
    """Record the reminder. Returns the renewal and item of which it is announced; None if it is not."""
    found = reminder_store.find_item(tx.conn, due.srn)
    outcome = Outcome.UNADDRESSED if found is None else Outcome.ANNOUNCED
    if not reminder_store.add(tx.conn, due.srn, due.paid_until, days_before, outcome, tx.now, serial=serial):
        return None
    REMINDERS.labels(outcome).inc()
    return found
