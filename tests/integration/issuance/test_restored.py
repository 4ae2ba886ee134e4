"""A restored database has lost the hash of a PIN whose letter is out: another letter replaces that one."""

from datetime import timedelta

import pytest

from services.issuance import handlers
from services.issuance.domain import PINWrong
from tests.databases import AsNew
from tests.engines import Database
from tests.integration.issuance.test_reissue import NAME, told
from tests.integration.issuance.world import Renewal, World, items
from tests.recalling import bring_back, travelled


@pytest.mark.parametrize("kept", ["nothing", "the planned PIN"])
def test_a_pin_whose_letter_is_out_is_replaced_by_another(world: World, issuance: Database, kept: str) -> None:
    renewal = Renewal(items=items([NAME]))
    backup = AsNew.read(issuance.superuser_url)
    with world.begin() as tx:
        handlers.open_orders(world.request(renewal), tx, keys=world.keys)
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
            handlers.open_orders(world.request(renewal), tx, keys=world.keys)
    seal_all(world)
    first, second = told(world, renewal, "pin-envelope-sealed")
    assert second["envelope_id"] != first["envelope_id"]
    assert second["replaces"] == first["envelope_id"]
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=lost)
    world.submit(renewal)


def seal_all(world: World) -> None:
    while world.seal():
        world.now += timedelta(seconds=1)
