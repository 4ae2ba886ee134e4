"""CRLs on schedule, after a revocation, and after a crash."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from services.issuance import certificate_store, revoking, work
from services.issuance.crl import INTERVAL, RevocationReason
from services.issuance.domain import CertificateExpired, CertificateNotFound, InvalidTransition, OrderNotFound
from shared.auth import Caller
from shared.events.base import ARId, SubscriberId
from tests.integration.issuance.test_issuing import Dies, SignerThatDies
from tests.integration.issuance.world import Renewal, World
from tests.unit.pki.csrs import as_pem, csr_der, ec_key


def publish(world: World) -> bool:
    return work.publish_next_crl(world.pool, world.issuer, clock=world.clock)


def latest(world: World) -> x509.CertificateRevocationList:
    with world.begin() as tx:
        found = certificate_store.latest_crl(tx.conn)
    assert found is not None
    assert found.der is not None
    return x509.load_der_x509_crl(found.der)


def number(world: World) -> int:
    return latest(world).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def revoke(world: World, renewal: Renewal, reason: RevocationReason = RevocationReason.SUPERSEDED) -> None:
    with world.begin() as tx:
        revoking.revoke_own(renewal.items[0].item_id, reason, renewal.caller, tx)


def serial(world: World, renewal: Renewal) -> int:
    return int(world.rows("SELECT serial FROM certificates WHERE item_id = %s", renewal.items[0].item_id)[0][0], 16)


def not_after(world: World) -> datetime:
    moment = world.rows("SELECT max(not_after) FROM certificates")[0][0]
    assert isinstance(moment, datetime)
    return moment


def test_the_first_crl_comes_at_once_and_the_next_after_an_hour(world: World) -> None:
    assert publish(world)
    assert not publish(world)
    world.now += INTERVAL
    assert publish(world)
    assert number(world) == 2


def test_a_revocation_is_on_a_crl_at_once_and_once_announced(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    publish(world)
    revoke(world, renewal)
    revoke(world, renewal)
    assert publish(world)
    assert not publish(world)
    entry = latest(world).get_revoked_certificate_by_serial_number(serial(world, renewal))
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded
    assert world.events(renewal).count("certificate-revoked") == 1


def test_an_entry_stays_until_a_crl_after_its_end_has_shown_it(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    revoke(world, renewal)
    publish(world)
    world.now = not_after(world) - timedelta(minutes=1)
    publish(world)
    world.now += timedelta(hours=2)
    publish(world)
    assert len(latest(world)) == 1
    world.now += timedelta(hours=2)
    publish(world)
    assert len(latest(world)) == 0
    assert number(world) == 4


def test_a_crl_that_a_crash_left_unsigned_is_signed_first_with_its_number(world: World) -> None:
    dying = SignerThatDies(world)
    with pytest.raises(Dies):
        work.publish_next_crl(world.pool, replace(world.issuer, signer=dying), clock=world.clock)
    assert publish(world)
    assert number(world) == 1
    assert latest(world).signature == dying.signatures[0]
    assert not publish(world)


def test_a_revocation_for_key_compromise_takes_its_siblings_along(world: World) -> None:
    lenient = World(world.pool, allow_key_reuse=True)
    first = lenient.opened(["www.example.hk"])
    shared_key = as_pem(csr_der(ec_key()))
    lenient.submit(first, csr=shared_key)
    lenient.issue()
    second = lenient.opened(["b.example.hk"])
    lenient.submit(second, csr=shared_key)
    lenient.issue()
    revoke(lenient, first, RevocationReason.KEY_COMPROMISE)
    assert lenient.events(second)[-1] == "certificate-revoked"
    assert lenient.rows("SELECT count(*) FROM blocked_keys") == [(1,)]


def test_an_operator_revokes_by_serial(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    with world.begin() as tx:
        revoking.revoke_serial(f"{serial(world, renewal):x}", RevocationReason.PRIVILEGE_WITHDRAWN, "operator", tx)
    with world.begin() as tx, pytest.raises(CertificateNotFound):
        revoking.revoke_serial("ff", RevocationReason.UNSPECIFIED, "operator", tx)
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'certificate-revoked'") == [("operator",)]


def test_an_expired_certificate_is_not_revoked(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    world.now = not_after(world) + timedelta(seconds=1)
    with pytest.raises(CertificateExpired):
        revoke(world, renewal)


def test_another_ar_of_the_subscriber_may_revoke_and_a_stranger_may_not(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    item_id = renewal.items[0].item_id

    def by(subscriber_id: str) -> None:
        caller = Caller(ar_id=ARId("AR-9"), subscriber_id=SubscriberId(subscriber_id), certificate_sha256="c")
        with world.begin() as tx:
            revoking.revoke_own(item_id, RevocationReason.UNSPECIFIED, caller, tx)

    with pytest.raises(OrderNotFound):
        by("SUB-2")
    by("SUB-1")
    assert world.events(renewal)[-1] == "certificate-revoked"


def test_a_certificate_is_accepted_once_and_a_revoked_one_not_at_all(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    revoked = world.issued(["b.example.hk"])
    revoke(world, revoked)
    for _ in range(2):
        with world.begin() as tx:
            revoking.accept(renewal.items[0].item_id, renewal.caller, tx)
    assert world.events(renewal).count("certificate-accepted") == 1
    with world.begin() as tx, pytest.raises(InvalidTransition):
        revoking.accept(revoked.items[0].item_id, revoked.caller, tx)
