"""Slack of open renewals: looked at once a day. The first time that it is below zero, the risk is announced."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from prometheus_client import Gauge

from services.application import slack_store, store, timeline_store
from services.application.domain import Item, ItemState, Renewal, RenewalKind, RenewalState
from services.application.period import today
from services.application.safe_start import NOT_BEGUN, LeadTimes, Progress, latest_safe_start, slack_days
from services.application.timeline import TimelineEntry, TimelineEvent
from shared.db import Pool
from shared.events.application import RenewalAtRisk
from shared.messaging import outbox
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import HONG_KONG, ItemId

LEAST: Final = Gauge("renewals_least_slack_days", "Least slack of open renewals by state, in working days", ["state"])

_DAY: Final = timedelta(days=1)
# A renewal that waits for a person or for money has done no step yet.
_STEPS: Final = {TimelineEvent.PAID, TimelineEvent.RELEASED}


@dataclass(frozen=True, kw_only=True)
class Slack:
    """The least slack of a renewal's certificates that are not issued, and those for which it is below zero."""

    days: int
    latest_safe_start: date
    late: tuple[ItemId, ...]


def slack_of(
    renewal: Renewal, items: Sequence[Item], timeline: Sequence[TimelineEntry], *, now: datetime, lead: LeadTimes
) -> Slack | None:
    """Return a renewal's slack; None if it awaits no certificate, or its document names no period.

    A reissue has none: it waits for no letter, and takes as long as its AR does.
    """
    if renewal.kind is RenewalKind.REISSUE or renewal.state not in (RenewalState.DRAFT, *slack_store.STATES):
        return None
    slacks = {
        item.id: (slack_days(today(now), last_day, lead, _progress(renewal, item, timeline)), last_day)
        for item in items
        if not item.ended and (last_day := _last_day(item)) is not None
    }
    if not slacks:
        return None
    return Slack(
        days=min(days for days, _ in slacks.values()),
        latest_safe_start=min(latest_safe_start(last_day, lead) for _, last_day in slacks.values()),
        late=tuple(item_id for item_id, (days, _) in slacks.items() if days < 0),
    )


def _last_day(item: Item) -> date | None:
    """Return the last day of the period that the item's follows."""
    return None if item.period is None else item.period.first - _DAY


def _progress(renewal: Renewal, item: Item, timeline: Sequence[TimelineEntry]) -> Progress:
    if renewal.state is not RenewalState.AWAITING_CSRS:
        return NOT_BEGUN
    paid = [entry.time for entry in timeline if entry.event in _STEPS]
    received = [
        entry.time for entry in timeline if (entry.event, entry.item_id) == (TimelineEvent.CSR_RECEIVED, item.id)
    ]
    return Progress(
        paid_on=today(paid[-1]) if paid else None,
        csr_on=today(received[-1]) if received and item.state is ItemState.CSR_RECEIVED else None,
    )


def look_at_next(pool: Pool, lead: LeadTimes, *, clock: Clock = utc_now) -> bool:
    """Look at the slack of one open renewal that was not looked at today. Returns whether there was one."""
    with transaction(pool, clock=clock) as tx:
        renewal_id = slack_store.claim(tx.conn, tx.now)
    if renewal_id is None:
        return False
    with claimed(), transaction(pool, clock=clock) as tx:
        renewal = store.lock_renewal(tx.conn, renewal_id, skip_locked=True)
        if renewal is not None:
            _look_at(tx, renewal, lead)
    return True


def _look_at(tx: Tx, renewal: Renewal, lead: LeadTimes) -> None:
    items, timeline = store.find_items(tx.conn, renewal.id), timeline_store.find_timeline(tx.conn, renewal.id)
    slack = slack_of(renewal, items, timeline, now=tx.now, lead=lead)
    slack_store.save(tx.conn, renewal.id, None if slack is None else slack.days, next_look_at=_next_midnight(tx.now))
    if slack is not None and slack.late and slack_store.mark_at_risk(tx.conn, renewal.id, tx.now):
        outbox.add(tx, RenewalAtRisk(renewal_id=renewal.id, slack_days=slack.days, items=slack.late))


def _next_midnight(now: datetime) -> datetime:
    day = today(now) + _DAY
    return datetime(day.year, day.month, day.day, tzinfo=HONG_KONG)
