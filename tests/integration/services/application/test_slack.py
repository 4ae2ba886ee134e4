"""Slack of open renewals: shown, looked at once a day, and announced once when it is below zero."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.application import slack_store
from shared.events.application import RenewalAtRisk
from shared.tx import transaction
from tests.integration.services.application.restorable import Restorable
from tests.integration.services.application.world import WILDCARD, WWW, Renewal, World, body
from tests.support.engines import Database

# A Thursday, with 18 working days after it until the 31st.
LAST_SAFE = datetime(2027, 8, 5, 4, 0, tzinfo=UTC)
PAID_UNTIL = date(2027, 8, 31)


@pytest.fixture
def summer(world: World) -> World:
    """A month without a holiday: both subscriptions are paid until its end."""
    world.now = LAST_SAFE
    for srn in (WWW, WILDCARD):
        world.change_subscription(srn, paid_from=date(2026, 9, 1), paid_until=PAID_UNTIL)
    world.signed_in_with = world.attested_with = {
        "organisation_verified_at": LAST_SAFE.isoformat(),
        "authority_verified_at": LAST_SAFE.isoformat(),
    }
    return world


def slack(world: World, renewal: Renewal) -> int | None:
    found: int | None = world.shown(renewal)["slack_days"]
    return found


def measured(world: World) -> list[tuple[str, int]]:
    with transaction(world.pool) as tx:
        return [(state, days) for state, days in tx.conn.execute(slack_store.LEAST_SLACK)]


def test_subscription_shows_its_latest_safe_start_and_the_slack_that_is_left(summer: World) -> None:
    summer.now -= timedelta(days=3)
    (shown,) = [each for each in body(summer.get("/subscriptions")) if each["srn"] == WWW]
    assert (shown["latest_safe_start"], shown["slack_days"]) == ("2027-08-05", 3)


def test_renewal_shows_slack_until_nothing_is_awaited(summer: World) -> None:
    renewal = summer.draft()
    assert (summer.shown(renewal)["latest_safe_start"], slack(summer, renewal)) == ("2027-08-05", 0)
    assert summer.submit(renewal).status_code == 200
    summer.apply(summer.captured(renewal))
    assert slack(summer, renewal) == 0
    summer.pass_time(timedelta(days=4))
    summer.apply(summer.opened(renewal), summer.csr_received(renewal))
    assert slack(summer, renewal) == 3, "two days were taken of five"
    summer.apply(summer.issued(renewal))
    assert slack(summer, renewal) is None


def test_renewal_at_risk_is_announced_once(summer: World) -> None:
    renewal = summer.paid(WWW, WILDCARD)
    summer.apply(summer.opened(renewal, 0), summer.csr_received(renewal, 0))
    assert summer.look_at_slack() == 1
    assert summer.announced(renewal.id, RenewalAtRisk) == []
    assert measured(summer) == [("awaiting-csrs", 0)]
    summer.pass_time(timedelta(days=8))
    assert summer.look_at_slack() == 1
    (risk,) = summer.announced(renewal.id, RenewalAtRisk)
    assert (risk.slack_days, risk.items) == (-1, (renewal.item_id(1),))
    summer.pass_time(timedelta(days=3))
    assert summer.look_at_slack() == 1
    assert len(summer.announced(renewal.id, RenewalAtRisk)) == 1
    assert measured(summer) == [("awaiting-csrs", -2)]


def test_renewal_is_looked_at_once_a_day_and_no_more_when_it_has_ended(summer: World) -> None:
    renewal = summer.submitted()
    assert summer.look_at_slack() == 1
    assert summer.look_at_slack() == 0
    summer.pass_time(timedelta(hours=11, minutes=59))
    assert summer.look_at_slack() == 0
    summer.pass_time(timedelta(minutes=1))
    assert summer.look_at_slack() == 1, "midnight in Hong Kong"
    summer.apply(summer.captured(renewal), summer.opened(renewal), summer.csr_received(renewal), summer.issued(renewal))
    summer.pass_time(timedelta(days=30))
    assert summer.look_at_slack() == 0
    assert measured(summer) == []


def test_renewal_that_waits_for_money_or_for_a_person_has_begun_no_step(summer: World) -> None:
    renewal = summer.submitted()
    summer.pass_time(timedelta(days=2))
    assert slack(summer, renewal) == -1
    summer.change_subscription(WWW, ar_id="ar-new")
    summer.apply(summer.captured(renewal))
    assert summer.state(renewal) == "on-hold"
    assert slack(summer, renewal) == -1
    assert summer.look_at_slack() == 1
    assert summer.announced(renewal.id, RenewalAtRisk)[0].items == (renewal.item_id(0),)


def test_renewal_whose_document_names_no_period_has_no_slack(summer: World) -> None:
    renewal = summer.submitted()
    with transaction(summer.pool) as tx:
        tx.conn.execute("UPDATE items SET paid_from = NULL, paid_until = NULL")
    assert slack(summer, renewal) is None
    assert summer.look_at_slack() == 1
    assert measured(summer) == []


def test_look_that_fails_is_tried_again_later(summer: World) -> None:
    renewal = summer.submitted()
    with transaction(summer.pool, clock=summer.clock) as tx:
        assert slack_store.claim(tx.conn, tx.now) == renewal.id
    assert summer.look_at_slack() == 0
    summer.pass_time(timedelta(minutes=10))
    assert summer.look_at_slack() == 1


def test_risk_that_was_announced_before_a_restore_is_not_announced_again(
    summer: World, application_database: Database
) -> None:
    lost = Restorable(summer, application_database)
    renewal = summer.paid(WWW)
    summer.pass_time(timedelta(days=8))
    summer.look_at_slack()
    assert lost.restore().not_put_back == []
    lost.read_again()
    assert summer.look_at_slack() == 1
    assert len(summer.announced(renewal.id, RenewalAtRisk)) == 1
