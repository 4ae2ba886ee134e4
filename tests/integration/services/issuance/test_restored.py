"""A restored database has lost the hash of a PIN whose letter is out: another letter replaces that one."""

from datetime import timedelta

import psycopg
import pytest

from services.issuance import handlers
from services.issuance.refusals import PINWrong
from tests.integration.services.issuance.test_reissue import NAME, announced_data
from tests.integration.services.issuance.world import Renewal, World, items
from tests.support.databases import AsNew
from tests.support.engines import Database
from tests.support.recalling import bring_back, travelled


@pytest.mark.parametrize("kept", ["nothing", "the planned PIN"])
def test_pin_whose_letter_was_printed_is_replaced_after_a_restore(world: World, issuance: Database, kept: str) -> None:
    renewal = Renewal(items=items([NAME]))
    backup = AsNew.read(issuance.superuser_url)
    with world.begin() as tx:
        handlers.on_csr_requested(tx, world.request(renewal), keys=world.keys)
    if kept == "the planned PIN":
        backup = AsNew.read(issuance.superuser_url)
    seal_all(world)
    lost = world.letters(renewal)
    announced = travelled(world.pool)
    assert backup.restore(issuance.superuser_url)
    world.pool.check()
    bring_back(world.pool, announced)
    world.now += timedelta(minutes=1)
    if kept == "nothing":
        with world.begin() as tx:
            handlers.on_csr_requested(tx, world.request(renewal), keys=world.keys)
    seal_all(world)
    first, second = announced_data(world, renewal, "pin-envelope-sealed")
    assert second["envelope_id"] != first["envelope_id"]
    assert second["replaces"] == first["envelope_id"]
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=lost)
    world.submit(renewal)


def test_pin_is_re_created_after_the_first_one_was_blanked(world: World, issuance: Database) -> None:
    renewal = Renewal(items=items([NAME]))
    with world.begin() as tx:
        handlers.on_csr_requested(tx, world.request(renewal), keys=world.keys)
    seal_all(world)
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("UPDATE outbox SET sent_at = now() - INTERVAL '40 days'")
        assert conn.execute("SELECT count(*) FROM blank_sealed_pins(now(), 10)").fetchone() == (1,)
    world.reissue(renewal, NAME)
    seal_all(world)
    assert world.rows("SELECT state, count(*) FROM pins GROUP BY state ORDER BY state") == [("sealed", 1), ("void", 1)]


def seal_all(world: World) -> None:
    while world.seal():
        world.now += timedelta(seconds=1)
