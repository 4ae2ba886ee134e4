"""CAA as several perspectives see it: what remote ones saw counts as in a proof of control (BR 3.2.2.9)."""

import pytest

from shared.events.issuance import Obstacle
from shared.pki.observations import CAARecord
from tests.integration.services.issuance.test_domain_evidence import (
    WWW,
    is_issued,
    look_again,
    obstacles,
    put,
    unproved,
)
from tests.integration.services.issuance.world import World
from tests.integration.services.issuance.zone import REMOTES, SET

FORBIDS: dict[str, tuple[CAARecord, ...]] = {WWW: (CAARecord(0, "issue", "ca.example.net"),)}
NOT_CORROBORATED = Obstacle(server_name=WWW, kind="caa", reason="not-corroborated")
FORBIDDEN = Obstacle(
    server_name=WWW, kind="caa", reason="caa-other-issuer", record=f'{WWW} CAA 0 issue "ca.example.net"'
)


@pytest.mark.parametrize(
    ("forbidden_at", "obstacle"),
    [
        pytest.param(REMOTES[:1], None, id="one remote of five"),
        pytest.param(REMOTES[:2], NOT_CORROBORATED, id="two remotes of five"),
        pytest.param(REMOTES, NOT_CORROBORATED, id="all remotes"),
        pytest.param((SET.primary.name,), FORBIDDEN, id="the primary alone"),
    ],
)
def test_record_that_forbids_counts_by_who_sees_it(
    world: World, forbidden_at: tuple[str, ...], obstacle: Obstacle | None
) -> None:
    """All of them see the proof of control; these alone see the CAA record."""
    renewal = unproved(world)
    put(world)
    world.zone.caa_at = dict.fromkeys(forbidden_at, FORBIDS)
    look_again(world)
    assert world.rows("SELECT method, quorum FROM domain_checks WHERE method IS NOT NULL") == [("7", "5/5")]
    assert is_issued(world, renewal) is (obstacle is None)
    if obstacle is not None:
        assert obstacles(world, renewal)[-1] == (obstacle,)
        world.zone.caa_at = {}
        look_again(world)
        assert is_issued(world, renewal)
