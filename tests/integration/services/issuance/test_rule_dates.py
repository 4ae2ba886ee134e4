"""Rehearsal of the days on which rules change: a certificate issued a second before, at, and a second after each."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.issuance.ca.validity_policy import MAX_VALIDITY_DAYS
from services.issuance.dcv.quorum import MIN_REMOTES, PerspectiveSet, SetRefused
from tests.integration.services.issuance.test_domain_evidence import is_issued, unproved
from tests.integration.services.issuance.world import World
from tests.integration.services.issuance.zone import SET

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
FIVE_REMOTES = datetime(2026, 12, 15, tzinfo=UTC)
HUNDRED_DAYS = datetime(2027, 3, 15, tzinfo=UTC)
FORTY_SEVEN_DAYS = datetime(2029, 3, 15, tzinfo=UTC)


def certificate(world: World) -> x509.Certificate:
    [[der]] = world.rows("SELECT der FROM certificates ORDER BY issued_at DESC LIMIT 1")
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize("offset", [-SECOND, timedelta(0), SECOND], ids=["a second before", "at", "a second after"])
@pytest.mark.parametrize(
    ("boundary", "before", "after"),
    [(FIVE_REMOTES, 199, 199), (HUNDRED_DAYS, 199, 99), (FORTY_SEVEN_DAYS, 99, 46)],
    ids=["five remotes", "100 days", "47 days"],
)
def test_certificate_follows_the_rules_of_its_second(
    world: World, boundary: datetime, before: int, after: int, offset: timedelta
) -> None:
    world.now = boundary + offset
    world.issued(["www.example.hk"])
    issued = certificate(world)
    days = (issued.not_valid_after_utc - issued.not_valid_before_utc + SECOND) / DAY
    assert days == (before if offset < timedelta(0) else after) < MAX_VALIDITY_DAYS.at(world.now)
    usage = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [*usage] == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("offset", [-SECOND, timedelta(0), SECOND], ids=["a second before", "at", "a second after"])
@pytest.mark.parametrize(
    ("boundary", "before", "after"),
    [(HUNDRED_DAYS, 200, 100), (FORTY_SEVEN_DAYS, 100, 10)],
    ids=["100 days", "47 days"],
)
def test_proof_is_reused_as_long_as_the_rules_of_that_second_say(
    world: World, boundary: datetime, before: int, after: int, offset: timedelta
) -> None:
    """A proof that is a second younger than the old limit and one that is a second younger than the new one."""
    days = before if offset < timedelta(0) else after
    for age, reused in ((days * DAY, True), (days * DAY + SECOND, False)):
        subscriber = f"SUB-{age.total_seconds():.0f}"
        world.now = boundary + offset - age
        world.opened(["www.example.hk"], subscriber_id=subscriber)
        world.zone.records.clear()
        world.now = boundary + offset
        assert is_issued(world, unproved(world, subscriber_id=subscriber)) is reused


@pytest.mark.parametrize("offset", [-SECOND, timedelta(0), SECOND], ids=["a second before", "at", "a second after"])
def test_four_remote_perspectives_suffice_until_five_are_required(offset: timedelta) -> None:
    four = PerspectiveSet(SET.perspectives[:5])
    now, allowed = FIVE_REMOTES + offset, offset < timedelta(0)
    assert MIN_REMOTES.at(now) == (4 if allowed else 5)
    assert four.corroborated(True, dict.fromkeys(four.remotes, True), now).corroborated is allowed
    if allowed:
        four.check(now)
    else:
        with pytest.raises(SetRefused, match="at least 5"):
            four.check(now)
    SET.check(now)
