"""Reminders of a certificate's end within its paid period: from its suggested window on, until a successor exists."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from shared.events.application import ReissueReminderDue, RenewalReminderDue
from shared.tx import transaction
from shared.vocabulary import HONG_KONG
from tests.integration.services.application.restorable import Restorable
from tests.integration.services.application.test_reissues import draft
from tests.integration.services.application.world import WWW, Renewal, World
from tests.support import builders
from tests.support.engines import Database

# A certificate of 199 days, which ends 166 days before the period: a third of it is 66 days.
ISSUED, ENDS = datetime(2027, 9, 1, 4, tzinfo=UTC), datetime(2028, 3, 18, 3, 59, 59, tzinfo=UTC)
LAST_DAY, PAID_UNTIL = date(2028, 3, 18), date(2028, 8, 31)


def holding(world: World, not_before: datetime, not_after: datetime) -> None:
    held = builders.certificate("www.harbourlights.example.hk", not_before=not_before, not_after=not_after)
    world.change_subscription(WWW, certificate=builders.pem(held), not_after=not_after)


@pytest.fixture
def renewed(world: World) -> Renewal:
    """A subscription whose present period and certificate came from a renewal here."""
    renewal = world.paid(WWW)
    world.apply(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    holding(world, ISSUED, ENDS)
    world.change_subscription(WWW, paid_until=PAID_UNTIL, paid_from=date(2027, 9, 1))
    world.now = ISSUED
    world.remind()
    return renewal


def morning(world: World, left: int) -> None:
    day = LAST_DAY - timedelta(days=left)
    world.now = datetime.combine(day, time(9), tzinfo=HONG_KONG).astimezone(UTC)
    world.remind()


def announced(world: World, renewal: Renewal) -> list[int]:
    return [event.days_before for event in world.announced(renewal.id, ReissueReminderDue)]


def test_each_reminder_is_announced_on_its_morning(world: World, renewed: Renewal) -> None:
    for left in range(70, -5, -1):
        morning(world, left)
        world.remind()
    assert announced(world, renewed) == [66, 14, 7, 3, 1]
    first, *_ = world.announced(renewed.id, ReissueReminderDue)
    assert (first.item_id, first.srn, first.certificate_until) == (renewed.item_id(0), WWW, LAST_DAY)
    assert first.paid_until == PAID_UNTIL
    assert world.announced(renewed.id, RenewalReminderDue) == []


@pytest.mark.parametrize(("days", "opens"), [(99, 33), (46, 15)])
def test_first_reminder_follows_the_length_of_the_certificate(
    world: World, renewed: Renewal, days: int, opens: int
) -> None:
    holding(world, ENDS - timedelta(days=days), ENDS)
    for left in range(70, 0, -1):
        morning(world, left)
    assert announced(world, renewed) == [opens, *(each for each in (14, 7, 3, 1) if each < opens)]


def test_runs_that_were_missed_leave_the_most_urgent_reminder(world: World, renewed: Renewal) -> None:
    for left in (30, 29, 5):
        morning(world, left)
    assert announced(world, renewed) == [66, 7]


def test_reminders_stop_while_a_reissue_is_under_way_and_begin_with_its_certificate(
    world: World, renewed: Renewal
) -> None:
    morning(world, 66)
    world.signed_in_with = world.attested_with = {
        name: world.now.isoformat() for name in ("organisation_verified_at", "authority_verified_at")
    }
    reissue = draft(world)
    assert world.submit(reissue).status_code == 200
    morning(world, 14)
    assert announced(world, renewed) == [66]
    world.apply(world.issued(reissue))
    holding(world, world.now, world.now + timedelta(days=99))
    for left in (7, 3, 1):
        morning(world, left)
    assert announced(world, renewed) == [66]
    assert announced(world, reissue) == []
    for left in range(0, -90, -1):
        morning(world, left)
    assert announced(world, reissue) == [33, 14, 7, 3, 1]


def test_shorter_certificate_is_looked_at_at_once(world: World, renewed: Renewal) -> None:
    """Rules that came into force may make the successor end before the day of the next look."""
    world.signed_in_with = world.attested_with = {
        name: world.now.isoformat() for name in ("organisation_verified_at", "authority_verified_at")
    }
    reissue = draft(world)
    assert world.submit(reissue).status_code == 200
    assert world.rows("SELECT count(*) FROM subscriptions WHERE srn = %s AND reminder_due_at > %s", WWW, world.now) == [
        (1,)
    ]
    world.apply(world.issued(reissue))
    holding(world, world.now, world.now + timedelta(days=46))
    world.remind()
    world.now += timedelta(days=31)
    world.remind()
    assert announced(world, reissue) == [15]


def test_certificate_that_ends_with_its_period_has_no_reminder_of_its_own(world: World, renewed: Renewal) -> None:
    world.change_subscription(WWW, paid_until=LAST_DAY)
    for left in range(70, -1, -1):
        morning(world, left)
    assert announced(world, renewed) == []
    assert [each.days_before for each in world.announced(renewed.id, RenewalReminderDue)] == [90, 60, 30, 14, 7, 1]


def test_revoked_certificate_has_no_reminder(world: World, renewed: Renewal) -> None:
    world.change_subscription(WWW, standing="revoked")
    morning(world, 14)
    assert announced(world, renewed) == []


def test_reminders_that_were_announced_before_a_restore_are_not_announced_again(
    world: World, renewed: Renewal, application_database: Database
) -> None:
    lost = Restorable(world, application_database)
    morning(world, 14)
    assert lost.restore().not_put_back == []
    lost.read_again()
    with transaction(world.pool) as tx:
        assert tx.conn.execute("SELECT days_before, serial <> '' FROM reminders").fetchall() == [(14, True)]
