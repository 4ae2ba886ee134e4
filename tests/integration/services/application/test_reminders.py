"""Reminders of the end of a paid period: each announced once, to the AR of record, until a successor is under way."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from shared.events.application import RenewalReminderDue
from shared.tx import transaction
from shared.vocabulary import HONG_KONG
from tests.integration.services.application.restorable import Restorable
from tests.integration.services.application.test_reissues import draft
from tests.integration.services.application.world import WWW, Renewal, World
from tests.support.engines import Database

PAID_UNTIL = date(2028, 8, 31)


@pytest.fixture
def renewed(world: World) -> Renewal:
    """A subscription whose present period was bought here, and a Monday long before its end."""
    renewal = world.paid(WWW)
    world.apply(world.opened(renewal), world.csr_received(renewal), world.issued(renewal))
    world.change_subscription(WWW, paid_until=PAID_UNTIL, paid_from=date(2027, 9, 1))
    world.now = datetime(2028, 5, 1, 4, 0, tzinfo=UTC)
    world.remind()
    return renewal


def morning(world: World, left: int) -> None:
    """Turn the clock to the morning of the day on which so many days are left, and let the reminders run."""
    day = PAID_UNTIL - timedelta(days=left)
    world.now = datetime.combine(day, time(9), tzinfo=HONG_KONG).astimezone(UTC)
    world.remind()


def announced(world: World, renewal: Renewal) -> list[int]:
    return [event.days_before for event in world.announced(renewal.id, RenewalReminderDue)]


def outcomes(world: World) -> list[tuple[int, str]]:
    return world.rows("SELECT days_before, outcome FROM reminders WHERE srn = %s ORDER BY days_before DESC", WWW)


def test_each_reminder_is_announced_on_its_morning(world: World, renewed: Renewal) -> None:
    for left in range(92, -5, -1):
        morning(world, left)
        world.remind()
    assert announced(world, renewed) == [90, 60, 30, 14, 7, 1]
    first, *_ = world.announced(renewed.id, RenewalReminderDue)
    assert (first.item_id, first.srn, first.paid_until) == (renewed.item_id(0), WWW, PAID_UNTIL)
    assert first.latest_safe_start == date(2028, 8, 7)
    assert first.serial == world.rows("SELECT serial FROM subscriptions WHERE srn = %s", WWW)[0][0]


def test_reminder_is_not_announced_before_nine(world: World, renewed: Renewal) -> None:
    morning(world, 92)
    world.now = datetime.combine(PAID_UNTIL - timedelta(days=90), time(8, 59), tzinfo=HONG_KONG)
    world.remind()
    assert announced(world, renewed) == []


def test_runs_that_were_missed_leave_the_most_urgent_reminder(world: World, renewed: Renewal) -> None:
    morning(world, 20)
    morning(world, 19)
    morning(world, 5)
    assert announced(world, renewed) == [30, 7]


def test_reminders_stop_while_a_renewal_is_under_way_and_after_it(world: World, renewed: Renewal) -> None:
    morning(world, 90)
    world.signed_in_with = world.attested_with = {
        name: world.now.isoformat() for name in ("organisation_verified_at", "authority_verified_at")
    }
    following = world.submitted()
    morning(world, 60)
    morning(world, 30)
    assert announced(world, renewed) == [90]
    assert world.cancel(following).status_code == 202
    world.apply(world.expired(following), world.withheld(following))
    morning(world, 29)
    assert announced(world, renewed) == [90, 30], "the renewal was cancelled"
    last = world.paid()
    world.apply(world.opened(last), world.csr_received(last), world.issued(last))
    for left in (14, 7, 1, 0):
        morning(world, left)
    assert announced(world, renewed) == [90, 30]
    assert announced(world, last) == []


@pytest.mark.parametrize("standing", ["revoked", "suspended"])
def test_certificate_that_cannot_be_renewed_has_no_reminder(world: World, renewed: Renewal, standing: str) -> None:
    world.change_subscription(WWW, standing=standing)
    morning(world, 30)
    assert outcomes(world) == []
    world.change_subscription(WWW, standing="active")
    morning(world, 29)
    assert announced(world, renewed) == [30]


@pytest.mark.parametrize("change", [{"ar_id": "ar-new"}, {"subscriber_id": "sub-other"}])
def test_reminder_never_goes_to_an_ar_who_is_not_of_record(
    world: World, renewed: Renewal, change: dict[str, str]
) -> None:
    world.change_subscription(WWW, **change)
    morning(world, 30)
    assert announced(world, renewed) == []
    assert outcomes(world) == [(30, "unaddressed")]


def test_subscription_that_was_imported_has_no_address(world: World) -> None:
    world.change_subscription(WWW, paid_until=PAID_UNTIL, paid_from=date(2027, 9, 1))
    morning(world, 14)
    assert outcomes(world) == [(14, "unaddressed")]


def test_reissue_gives_an_imported_subscription_its_address_and_stops_no_reminder(world: World) -> None:
    reissue = draft(world)
    assert world.submit(reissue).status_code == 200
    world.apply(world.issued(reissue))
    world.change_subscription(WWW, paid_until=PAID_UNTIL, paid_from=date(2027, 9, 1))
    morning(world, 14)
    world.signed_in_with = world.attested_with = {
        name: world.now.isoformat() for name in ("organisation_verified_at", "authority_verified_at")
    }
    assert world.submit(draft(world)).status_code == 200
    morning(world, 7)
    assert announced(world, reissue) == [14, 7]


def test_reminders_that_were_announced_before_a_restore_are_not_announced_again(
    world: World, renewed: Renewal, application_database: Database
) -> None:
    lost = Restorable(world, application_database)
    morning(world, 60)
    assert lost.restore().not_put_back == []
    lost.read_again()
    world.remind()
    assert announced(world, renewed) == [60]
    with transaction(world.pool) as tx:
        assert tx.conn.execute("SELECT count(*) FROM reminders").fetchone() == (1,)
