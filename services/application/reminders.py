"""Reminders of the end of a paid period, so many days before: announced to mailing, each at most once.

A subscription is looked at on the morning on which its next reminder is due. Only the most urgent one that is due is
announced: the earlier ones of a period have passed by then, also if no process ran on their days. None is announced
while a renewal is under way; if that ends without a certificate, the most urgent one is announced the morning after.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from prometheus_client import Counter

from services.application import reminder_store, store
from services.application.period import today
from services.application.reminder_store import Due
from services.application.safe_start import LeadTimes, latest_safe_start
from shared.db import Pool
from shared.events.application import RenewalReminderDue
from shared.messaging import outbox
from shared.observability.metrics import preset
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import HONG_KONG

_DAY: Final = timedelta(days=1)
_MORNING: Final = time(9, tzinfo=HONG_KONG)
# How often a subscription without a further reminder is looked at: it may have been renewed meanwhile.
_IDLE: Final = timedelta(days=30)


class Outcome(StrEnum):
    """Outcomes of a reminder. Unaddressed: no attestation names the AR of record, so mailing has no address."""

    ANNOUNCED = "announced"
    UNADDRESSED = "unaddressed"


REMINDERS: Final = preset(
    Counter("reminders_total", "Reminders of the end of a paid period by outcome", ["outcome"]), Outcome
)


def due_reminder(last_day: date, day: date, schedule: Sequence[int]) -> int | None:
    """Return the most urgent reminder that is due on a day, as its days before the last one; None if none is."""
    left = (last_day - day).days
    return min((days for days in schedule if 0 <= left <= days), default=None)


def next_look(last_day: date, day: date, schedule: Sequence[int]) -> date:
    """Return the day of the next reminder of the period; if it has none left, a later day."""
    later = [last_day - days * _DAY for days in schedule if last_day - days * _DAY > day]
    return min(later, default=day + _IDLE)


def remind_next(pool: Pool, lead: LeadTimes, schedule: Sequence[int], *, clock: Clock = utc_now) -> bool:
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
        days_before = due_reminder(due.paid_until, day, schedule)
        waits = days_before is not None and (due.being_renewed or due.standing != "active")
        if days_before is not None and not waits:
            _remind(tx, due, days_before, lead)
        look = day + _DAY if waits else next_look(due.paid_until, day, schedule)
        reminder_store.save_next_look(tx.conn, srn, datetime.combine(look, _MORNING))
    return True


def _remind(tx: Tx, due: Due, days_before: int, lead: LeadTimes) -> None:
    found = reminder_store.find_item(tx.conn, due.srn)
    outcome = Outcome.UNADDRESSED if found is None else Outcome.ANNOUNCED
    if not reminder_store.add(tx.conn, due.srn, due.paid_until, days_before, outcome, tx.now):
        return
    REMINDERS.labels(outcome).inc()
    if found is None:
        return
    renewal_id, item_id = found
    outbox.add(
        tx,
        RenewalReminderDue(
            renewal_id=renewal_id,
            item_id=item_id,
            srn=due.srn,
            serial=due.serial,
            paid_until=due.paid_until,
            days_before=days_before,
            latest_safe_start=latest_safe_start(due.paid_until, lead),
        ),
    )
