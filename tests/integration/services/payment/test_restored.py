"""A restored database does nothing twice: effects have derived ids, and the provider is queried before each effect."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from services.payment import handlers
from services.payment.outcomes import FORGOTTEN
from services.payment.refusals import PaymentNotReady
from shared import db
from shared.events.application import RefundDue, RenewalSubmitted
from shared.events.payment import PaymentCaptured, PaymentRefunded
from shared.messaging.record import Record
from shared.vocabulary import ItemId, RenewalId
from tests.integration.services.application import world as application
from tests.integration.services.payment.world import World, closure, refund_due, renewal_submitted
from tests.support import builders
from tests.support.databases import AsNew
from tests.support.engines import Database


def restored(world: World, database: Database, backup: AsNew) -> None:
    """Bring the database's rows back to the backup; by then the provider's idempotency keys have expired."""
    assert backup.restore(database.superuser_url)
    world.pool.check()
    world.sandbox.forget_keys()


def forgotten(what: str) -> float:
    return float(FORGOTTEN.labels(what)._value.get())


def captures(world: World, payment_reference: str) -> int:
    return len(world.sandbox.effects("capture", payment_reference))


def test_restored_application_requests_the_same_refund_and_it_is_made_once(
    world: World, database: Callable[[str], Database], tmp_path: Path
) -> None:
    own = database("application")
    with db.open_pool(own.url, name="restored-application") as pool:
        ours = application.World(pool=pool)
        ours.enrol(application.ROWS, tmp_path)
        renewal = ours.paid(application.WWW, application.WILDCARD)
        world.captured(
            renewal_id=renewal.id,
            amount_minor=renewal.amount_minor,
            items=ours.announced(renewal.id, RenewalSubmitted)[0].items,
        )
        backup = AsNew.read(own.superuser_url)
        came = [ours.publisher.record(ours.refused(renewal, 0)), ours.publisher.record(ours.withheld(renewal))]
        first = ask_for_refunds(ours, renewal, came, world)
        assert backup.restore(own.superuser_url)
        pool.check()
        second = ask_for_refunds(ours, renewal, came, world)
    assert [event.refund_id for event in first] == [event.refund_id for event in second]
    effects = [effect for event in first for effect in world.sandbox.effects("refund", str(event.refund_id))]
    assert sum(int(str(effect["amount_minor"])) for effect in effects) == renewal.amount_minor
    assert len(effects) == 2


def ask_for_refunds(
    ours: application.World, renewal: application.Renewal, came: list[Record], world: World
) -> list[RefundDue]:
    ours.apply_records(*came)
    due = ours.announced(renewal.id, RefundDue)
    for event in due:
        world.handle(event)
    world.work_later()
    return due


def test_refund_known_under_another_id_is_answered_and_not_repeated(world: World) -> None:
    """The first id is a random one of earlier code; the restored application derives another."""
    renewal_id, item_id = world.captured(), ItemId(uuid.uuid4())
    before, after, later = (refund_due(renewal_id, 100_000, item_id=item_id) for _ in range(3))
    world.handle(before)
    world.handle(after)
    world.work_later()
    world.handle(later)
    world.work_later()
    answered = [event.refund_id for event in world.announced(renewal_id) if isinstance(event, PaymentRefunded)]
    assert answered == [after.refund_id, later.refund_id]
    made = [world.sandbox.effects("refund", str(event.refund_id)) for event in (before, after, later)]
    assert [len(effects) for effects in made] == [1, 0, 0]


def test_restored_payment_does_not_repeat_a_refund_whose_idempotency_key_expired(
    world: World, payment_database: Database
) -> None:
    renewal_id = world.captured()
    backup = AsNew.read(payment_database.superuser_url)
    event = refund_due(renewal_id, 100_000)
    for _ in range(2):
        world.handle(event)
        world.work_later()
        assert len(world.sandbox.effects("refund", str(event.refund_id))) == 1
        restored(world, payment_database, backup)


@pytest.mark.parametrize("goes_on", ["the AR pays again", "the checkout is closed", "an operator rechecks"])
@pytest.mark.parametrize("was_captured", [False, True], ids=["paid", "captured"])
def test_restored_payment_finds_its_lost_checkout(
    world: World, payment_database: Database, goes_on: str, was_captured: bool
) -> None:
    event = renewal_submitted(now=world.clock())
    empty = AsNew.read(payment_database.superuser_url)
    world.handle(event)
    url = world.checkout_url(event.renewal_id)
    (reference,) = world.checkout_ids(event.renewal_id)
    world.sandbox.press(url, "pay")
    if was_captured:
        world.work_later()
    restored(world, payment_database, empty)
    world.handle(event)
    found = forgotten("checkout")
    match goes_on:
        case "the AR pays again":
            assert world.checkout_url(event.renewal_id) == url
        case "the checkout is closed":
            world.handle(closure(event.renewal_id))
        case "an operator rechecks":
            recheck(world, event.renewal_id)
    world.work_later()
    assert world.state(event.renewal_id) == "captured"
    assert (len(world.sandbox.effects("session", reference)), captures(world, reference)) == (1, 1)
    assert [type(one) for one in world.announced(event.renewal_id)] == [PaymentCaptured]
    if goes_on != "the AR pays again":
        assert forgotten("checkout") == found + 1


def test_restored_payment_is_not_expired_by_its_first_checkout_when_the_second_was_paid(
    world: World, payment_database: Database
) -> None:
    renewal_id = world.submitted()
    first = world.checkout_url(renewal_id)
    backup = AsNew.read(payment_database.superuser_url)
    world.sandbox.cancel(str(world.checkout_ids(renewal_id)[0]))
    world.work_later()
    second = world.checkout_url(renewal_id)
    assert second != first
    world.sandbox.press(second, "pay")
    restored(world, payment_database, backup)
    world.handle(closure(renewal_id))
    world.work_later()
    assert world.state(renewal_id) == "captured"


def test_capture_known_to_the_provider_only_raises_an_alert(world: World, payment_database: Database) -> None:
    renewal_id = world.paid()
    backup = AsNew.read(payment_database.superuser_url)
    world.work_later()
    restored(world, payment_database, backup)
    world.later += timedelta(hours=2)
    known = forgotten("capture")
    recheck(world, renewal_id)
    world.work()
    assert (world.state(renewal_id), forgotten("capture")) == ("captured", known + 1)


def test_provider_outage_delays_a_closure_and_expires_no_payment(world: World) -> None:
    renewal_id = world.submitted()
    world.handle(closure(renewal_id))
    world.sandbox.order_fault("retrieve", "error")
    world.work()
    assert world.state(renewal_id) == "closing"
    world.work_later()
    assert world.state(renewal_id) == "expired"


def recheck(world: World, renewal_id: RenewalId) -> str:
    with world.begin() as tx:
        return handlers.recheck(tx, renewal_id, actor="operator-7")


STATES = ["awaiting-checkout", "open", "closing", "captured", "expired", "held"]


@pytest.mark.parametrize("state", STATES)
def test_recheck_reports_its_effect_in_every_state(world: World, state: str) -> None:
    renewal_id = world.captured() if state == "captured" else world.submitted()
    if state in {"open", "closing", "held"}:
        world.sandbox.order_fault("create", "wrong-amount") if state == "held" else None
        world.ask_for_checkout(renewal_id)
    if state in {"closing", "expired"}:
        world.handle(closure(renewal_id))
    if state == "expired":
        world.work()
    assert world.state(renewal_id) == state
    assert recheck(world, renewal_id).startswith(state)
    world.work_later()
    expected = {"closing": "expired"}.get(state, state)
    assert world.state(renewal_id) == expected
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'recheck'") == [("operator-7",)]


def test_recheck_of_an_unknown_renewal_is_refused(world: World) -> None:
    with pytest.raises(PaymentNotReady):
        recheck(world, RenewalId(uuid.uuid4()))


def test_duplicate_rows_of_before_the_migration_stay_and_the_first_is_used(payment_database: Database) -> None:
    migration = Path(handlers.__file__).parent / "migrations" / "0003_refunds_once_and_urgency.sql"
    with psycopg.connect(payment_database.superuser_url) as conn:
        conn.execute("CREATE SCHEMA before_it")
        conn.execute("SET search_path TO before_it")
        conn.execute("CREATE TABLE refunds (id UUID, payment_id UUID, item_id UUID, created_at TIMESTAMPTZ)")
        conn.execute("CREATE TABLE payments (due_at TIMESTAMPTZ)")
        conn.execute("CREATE INDEX payments_due ON payments (due_at)")
        payment, item = uuid.uuid4(), uuid.uuid4()
        for number, about in enumerate((None, None, item, item)):
            values = (uuid.UUID(int=number), payment, about, builders.NOW + timedelta(seconds=number))
            conn.execute("INSERT INTO refunds VALUES (%s, %s, %s, %s)", values)
        conn.execute(migration.read_bytes())
        repeats = conn.execute("SELECT is_repeat FROM refunds ORDER BY id").fetchall()
        conn.rollback()
    assert [row[0] for row in repeats] == [False, True, False, True]
