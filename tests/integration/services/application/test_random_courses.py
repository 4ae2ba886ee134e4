"""Renewals in every mixture of commands, events, delays and deadlines: what must hold always holds."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shared.db import Pool
from shared.events.application import CertificateDelayed, RefundDue
from tests.integration.services.application.partners import Money, Order, Partners
from tests.integration.services.application.restorable import Restorable
from tests.integration.services.application.world import ROWS, World, body
from tests.support.engines import Database

ENDED = {"completed", "refused", "cancelled", "expired"}
STEPS = 300


class Courses:
    """Several renewals of three subscriptions, their partners, and a clock; dice decide what happens next."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.partners: list[Partners] = []
        self.actions: dict[Callable[[], None], int] = {
            self.draft: 2,
            self.submit: 3,
            self.cancel: 1,
            self.pay: 6,
            self.work: 12,
            self.delay: 4,
            self.refuse: 3,
            self.listen: 3,
            self.payment_speaks: 3,
            self.issuance_speaks: 5,
            self.everybody_speaks: 1,
            self.time_passes: 1,
        }

    def step(self) -> None:
        actions = self.actions if self.partners else {self.draft: 1}
        self.dice.choices(list(actions), list(actions.values()))[0]()
        self.check()

    def one(self) -> Partners:
        """Return mostly one that has not ended."""
        rows = self.world.rows("SELECT id FROM renewals WHERE state <> ALL(%s)", list(ENDED))
        running = [partners for partners in self.partners if (partners.id,) in rows]
        return self.dice.choice(running if running and self.dice.random() < 0.9 else self.partners)

    def position(self, partners: Partners) -> int:
        return self.dice.randrange(len(partners.orders))

    def draft(self) -> None:
        chosen = self.dice.sample([row["srn"] for row in ROWS], self.dice.randint(1, 3))
        answer = self.world.post("/renewals", {"items": [{"srn": srn} for srn in chosen]})
        assert answer.status_code in {201, 409}, answer.text
        if answer.status_code == 201:
            self.partners.append(Partners(self.world, self.world.known(body(answer)["id"])))

    def submit(self) -> None:
        assert self.world.submit(self.one().renewal).status_code in {200, 409}

    def cancel(self) -> None:
        assert self.world.cancel(self.one().renewal).status_code in {202, 409}

    def pay(self) -> None:
        partners = self.one()
        partners.listen()
        partners.pay()

    def work(self) -> None:
        partners = self.one()
        partners.work(self.position(partners))

    def delay(self) -> None:
        partners = self.one()
        reason = self.dice.choice(["record-missing", "another-value", "perspective-busy"])
        partners.delay(self.position(partners), reason)

    def refuse(self) -> None:
        partners = self.one()
        partners.refuse(self.position(partners))

    def listen(self) -> None:
        self.one().listen()

    def payment_speaks(self) -> None:
        partners = self.one()
        partners.deliver(partners.payment_says)

    def issuance_speaks(self) -> None:
        partners = self.one()
        partners.deliver(partners.issuance_says)

    def everybody_speaks(self) -> None:
        self.one().finish()

    def time_passes(self) -> None:
        self.world.pass_time(timedelta(days=self.dice.choice([0.1, 0.1, 0.1, 1, 14, 90])))
        # The certificates are renewed in good time, however long the dice are rolled.
        for row in ROWS:
            self.world.change_subscription(row["srn"], not_after=self.world.now + timedelta(days=45))

    def check(self) -> None:
        """Assert the invariants that hold after every step."""
        open_items = self.world.rows("SELECT srn FROM items WHERE open")
        assert len(open_items) == len(set(open_items)), "two open renewals of one subscription"
        waiting = self.world.rows(
            "SELECT id, state FROM renewals WHERE state <> 'draft' AND state <> ALL(%s)", list(ENDED)
        )
        assert sorted(waiting) == sorted(self.world.rows("SELECT renewal_id, state FROM timers"))
        holding = self.world.rows("SELECT DISTINCT renewal_id FROM items WHERE open")
        assert {row[0] for row in holding} == {row[0] for row in waiting}
        assert self.world.rows("SELECT reason, error FROM parked_events") == []
        assert self.world.rows("SELECT 1 FROM items WHERE obstacles <> '[]' AND state <> 'csr-received'") == []
        for partners in self.partners[-5:]:
            self.check_money(partners)
            self.check_notices(partners)

    def check_money(self, partners: Partners) -> None:
        refunds = self.world.announced(partners.renewal.id, RefundDue)
        captured = partners.renewal.amount_minor if partners.money is Money.CAPTURED else 0
        assert sum(refund.amount_minor for refund in refunds) <= captured
        if any(refund.item_id is None for refund in refunds):
            assert not {Order.INTENT, Order.ISSUED} & set(partners.orders), "everything paid back, and one issued"
        for position, order in enumerate(partners.orders):
            if order in (Order.INTENT, Order.ISSUED):
                assert partners.renewal.item_id(position) not in {refund.item_id for refund in refunds}

    def check_notices(self, partners: Partners) -> None:
        noticed = self.world.announced(partners.renewal.id, CertificateDelayed)
        known = [(event.item_id, each.reason) for event in noticed for each in event.obstacles]
        assert len(known) == len(set(known)), "an AR notified twice of one obstacle"
        assert {reason for _, reason in known} <= {"record-missing", "another-value"}

    def end(self, partners: Partners) -> str:
        """Let every renewal end by itself, with the money where it belongs."""
        partners.finish()
        for _ in range(4):
            for position, order in enumerate(partners.orders):
                if order is Order.INTENT:
                    partners.work(position)
            self.world.pass_time(timedelta(days=91))
            partners.finish()
        shown = self.world.shown(partners.renewal)
        if shown["state"] in ENDED and partners.money is Money.CAPTURED:
            kept = sum(item["amount_minor"] for item in shown["items"] if item["state"] == "issued")
            back = sum(refund["amount_minor"] for refund in shown["refunds"])
            assert kept + back == partners.renewal.amount_minor
            assert all(refund["refunded_at"] for refund in shown["refunds"])
        # Beside an issued item one without its CSR can still get it: issuance declines to withhold.
        may_go_on = Order.ISSUED in partners.orders
        assert shown["state"] in ENDED | {"draft"} | ({"awaiting-csrs"} if may_go_on else set())
        return str(shown["state"])


@pytest.mark.parametrize("seed", range(8))
def test_random_lifecycles_keep_every_invariant(pool: Pool, tmp_path: Path, seed: int) -> None:
    world = World(pool=pool)
    world.enrol(ROWS, tmp_path)
    courses = Courses(world, random.Random(seed))
    for _ in range(STEPS):
        courses.step()
    ends = [courses.end(partners) for partners in courses.partners]
    courses.check()
    assert set(ends) & ENDED


@pytest.mark.parametrize("seed", range(3))
def test_random_lifecycles_continue_after_a_restore(
    pool: Pool, application_database: Database, tmp_path: Path, seed: int
) -> None:
    world = World(pool=pool)
    world.enrol(ROWS, tmp_path)
    courses = Courses(world, random.Random(seed))
    for _ in range(STEPS // 3):
        courses.step()
    lost = Restorable(world, application_database)
    for _ in range(STEPS // 3):
        courses.step()
    before = submitted(world)
    assert lost.restore().not_put_back == []
    lost.read_again()
    assert submitted(world) == before
    # The drafts of that time are lost.
    kept = {row[0] for row in world.rows("SELECT id FROM renewals")}
    courses.partners = [partners for partners in courses.partners if partners.id in kept]
    courses.time_passes()
    for _ in range(STEPS // 3):
        courses.step()
    assert {courses.end(partners) for partners in courses.partners} & ENDED
    courses.check()


def submitted(world: World) -> dict[str, list[tuple[object, ...]]]:
    """Return submitted renewals and all that was announced of them.

    One whose cancellation was asked for twice is not compared: the first answer is taken for the second one's.
    """
    renewals = """(SELECT id FROM renewals AS r WHERE submitted_at IS NOT NULL AND 2 > (
        SELECT count(*) FROM outbox AS o WHERE o.key = r.id::text AND o.type LIKE '%%.cancellation-requested.%%'))"""
    return {
        "renewals": [*world.rows(f"SELECT * FROM renewals WHERE id IN {renewals} ORDER BY id")],
        "items": [*world.rows(f"SELECT * FROM items WHERE renewal_id IN {renewals} ORDER BY id")],
        "refunds": [*world.rows("SELECT * FROM refunds ORDER BY id")],
        "outbox": [*world.rows("SELECT event_id, key, sequence FROM outbox ORDER BY key, sequence")],
    }
