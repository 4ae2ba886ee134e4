"""Evidence that lapses while an intent waits for its signer: nothing is signed before the domain is looked at again."""

from datetime import UTC, datetime, timedelta

import pytest

from services.issuance import work
from services.issuance.ca.signer import SignerUnavailable
from services.issuance.ca.validity_policy import DOMAIN_REUSE_DAYS
from services.issuance.certificate_issuance import LEASE
from services.issuance.domain_evidence import CAA_LIFE
from tests.integration.services.issuance.test_domain_evidence import WWW, caa, is_issued, put
from tests.integration.services.issuance.test_waiting_intents import Away
from tests.integration.services.issuance.world import Renewal, World

SECOND = timedelta(seconds=1)


def intent_of(world: World, renewal: Renewal) -> str:
    """Have the order's intent stored while the signer is away, and return its serial number."""
    world.submit(renewal)
    with pytest.raises(SignerUnavailable):
        while work.issue_next(world.pool, world.deps(signer=Away(world)), clock=world.clock) or world.check():
            pass  # the domain is looked at first, if its CAA is too old
    ((serial,),) = world.rows("SELECT serial FROM intents")
    return str(serial)


def assert_nothing_signed(world: World, serial: str) -> None:
    """Have the intent taken up once, and see that it stays as it is and a check of its domain is due."""
    assert world.issue_once()
    assert world.rows("SELECT serial, state, precertificate FROM intents") == [(serial, "intended", None)]
    assert world.rows("SELECT 1 FROM certificates") == []
    assert world.rows("SELECT domain, due_at FROM domain_controls") == [(WWW, world.now)]


def next_lease(world: World) -> None:
    """Let the intent's lease pass, however often it was claimed."""
    world.now += 33 * LEASE


def test_intent_waits_while_a_new_caa_record_forbids_it(world: World) -> None:
    renewal = world.opened([WWW])
    serial = intent_of(world, renewal)
    world.now += CAA_LIFE + SECOND
    caa(world, ";")
    assert_nothing_signed(world, serial)
    assert world.check()
    next_lease(world)
    assert_nothing_signed(world, serial)
    world.zone.caa.clear()
    assert world.check()
    next_lease(world)
    assert world.issue_once()
    assert is_issued(world, renewal)
    assert world.rows("SELECT serial FROM certificates") == [(serial,)]


def test_intent_waits_once_the_proof_may_not_be_reused(world: World) -> None:
    world.now = datetime(2027, 3, 16, tzinfo=UTC)  # no rule changes until the proof lapses
    renewal = world.opened([WWW])
    reuse = timedelta(days=DOMAIN_REUSE_DAYS.at(world.now))
    proved_at = world.now
    world.now = proved_at + reuse - timedelta(hours=1)
    serial = intent_of(world, renewal)
    world.now = proved_at + reuse + SECOND
    assert_nothing_signed(world, serial)
    put(world)
    assert world.check()
    next_lease(world)
    assert world.issue_once()
    assert is_issued(world, renewal)
    assert world.rows("SELECT serial FROM certificates") == [(serial,)]
