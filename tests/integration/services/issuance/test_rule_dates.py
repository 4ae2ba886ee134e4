"""Rehearsal of the days on which rules change: a certificate issued a second before, at, and a second after each."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.issuance import certificate_issuance, certificate_signing
from services.issuance.ca.validity_policy import MAX_VALIDITY_DAYS
from services.issuance.certificate_signing import ValidationLapsed
from services.issuance.dcv.quorum import MIN_REMOTES, PerspectiveSet, SetRefused
from services.issuance.domain import Intent
from tests.integration.services.issuance.test_domain_evidence import is_issued, unproved
from tests.integration.services.issuance.test_issuing import SignerThatDies
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


def days_of(issued: x509.Certificate) -> float:
    return (issued.not_valid_after_utc - issued.not_valid_before_utc + SECOND) / DAY


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
    assert days_of(issued) == (before if offset < timedelta(0) else after) < MAX_VALIDITY_DAYS.at(world.now)
    usage = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [*usage] == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize(
    ("paid_until", "last_second"),
    [
        # The last paid day ends at midnight in Hong Kong, 16:00 in UTC.
        ("2026-12-23", datetime(2026, 12, 23, 15, 59, 59, tzinfo=UTC)),
        ("2027-12-31", None),
        (None, None),
    ],
    ids=["shorter than the rules allow", "longer", "document from before"],
)
def test_certificate_never_outlasts_the_paid_period(
    world: World, paid_until: str | None, last_second: datetime | None
) -> None:
    world.issued(["www.example.hk"], paid_until=paid_until)
    issued = certificate(world)
    if last_second is None:
        assert days_of(issued) == 199
    else:
        assert issued.not_valid_after_utc == last_second


def test_order_whose_paid_period_is_over_is_refused(world: World) -> None:
    renewal = world.opened(["www.example.hk"], paid_until="2026-12-23")
    world.now = datetime(2026, 12, 23, 16, 0, tzinfo=UTC)
    world.seal()
    world.submit(renewal)
    world.issue()
    assert world.rows("SELECT state, refusal FROM orders") == [("refused", "subscription-over")]
    assert world.rows("SELECT count(*) FROM certificates") == [(0,)]


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


@pytest.mark.parametrize(
    ("boundary", "after"), [(HUNDRED_DAYS, 99), (FORTY_SEVEN_DAYS, 46)], ids=["100 days", "47 days"]
)
@pytest.mark.parametrize("at", [0, 1], ids=["before the precertificate", "before the certificate"])
def test_bytes_validated_a_second_before_new_rules_are_not_signed_under_them(
    world: World, boundary: datetime, after: int, at: int
) -> None:
    world.now = boundary - SECOND
    world.submit(world.opened(["www.example.hk"]))
    assert_signed_after_validation_only(world, at, SECOND)
    assert days_of(certificate(world)) == after


@pytest.mark.parametrize("at", [0, 1], ids=["before the precertificate", "before the certificate"])
def test_signature_waits_for_another_validation_after_the_lease(world: World, at: int) -> None:
    world.submit(world.opened(["www.example.hk"]))
    assert_signed_after_validation_only(world, at, certificate_issuance.LEASE + SECOND)


def assert_signed_after_validation_only(world: World, at: int, later: timedelta) -> None:
    """Validate, let time pass before the first signature (`at` 0) or after it, and have nothing more signed then."""
    signer = SignerThatDies(world, at=0)
    with world.begin() as tx:
        ((item_id,),) = world.rows("SELECT item_id FROM orders")
        intent = certificate_issuance.make_intent(tx, item_id, world.deps())
    assert isinstance(intent, Intent)
    validated_at = world.now

    def clock() -> datetime:
        return validated_at if len(signer.signatures) < at else validated_at + later

    with pytest.raises(ValidationLapsed):
        certificate_signing.sign(world.pool, intent, world.deps(signer=signer), clock, validated_at=validated_at)
    assert len(signer.signatures) == at
    world.now = validated_at + later + 2 * certificate_issuance.LEASE
    assert world.issue()
