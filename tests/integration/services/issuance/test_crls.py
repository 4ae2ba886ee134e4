"""CRLs on schedule and after a revocation."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from services.issuance import certificate_store, revocation, store, work
from services.issuance.ca import crl
from services.issuance.ca.crl import INTERVAL, RevocationReason
from services.issuance.certificate_store import CRLS
from services.issuance.issuer import CRLNotClean
from services.issuance.refusals import CertificateExpired, CertificateNotFound, InvalidTransition, OrderNotFound
from shared.events.issuance import CertificateRevoked
from shared.runtime.pruning import prune_batch
from shared.vocabulary import ARId, SubscriberId
from shared.web.auth import Caller
from tests.integration.services.issuance.world import Renewal, World
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key


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
        revocation.revoke_own(tx, renewal.items[0].item_id, reason, renewal.caller)


def serial(world: World, renewal: Renewal) -> int:
    return int(world.rows("SELECT serial FROM certificates WHERE item_id = %s", renewal.items[0].item_id)[0][0], 16)


def not_after(world: World) -> datetime:
    moment = world.rows("SELECT max(not_after) FROM certificates")[0][0]
    assert isinstance(moment, datetime)
    return moment


def test_first_crl_is_made_at_once_and_the_next_after_an_hour(world: World) -> None:
    assert publish(world)
    assert not publish(world)
    world.now += INTERVAL
    assert publish(world)
    assert number(world) == 2


def test_clock_that_is_behind_dates_no_list_before_the_last(world: World) -> None:
    publish(world)
    first = latest(world).last_update_utc
    renewal = world.issued(["www.example.hk"])
    world.now -= timedelta(seconds=2)
    revoke(world, renewal)
    assert publish(world)
    assert number(world) == 2
    assert latest(world).last_update_utc >= first


def test_numbers_rise_when_every_older_crl_is_pruned(world: World) -> None:
    for _ in range(3):
        publish(world)
        world.now += INTERVAL
    world.now += CRLS.kept_for(world.now.date())
    assert prune_batch(world.pool, CRLS, clock=world.clock) == 2
    assert world.rows("SELECT number FROM crls") == [(3,)]
    publish(world)
    assert number(world) == 4
    assert latest(world).last_update_utc == world.now.replace(microsecond=0)


def test_processes_that_publish_at_once_give_no_number_twice(world: World) -> None:
    numbers, times = [], []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            renewal = world.issued(["www.example.hk"])
            revoke(world, renewal)
            for each in [pool.submit(publish, world) for _ in range(4)]:
                each.result()
            world.now += timedelta(minutes=1)
    for der, said, this_update in world.rows("SELECT der, number, this_update FROM crls ORDER BY number"):
        signed = x509.load_der_x509_crl(der)
        assert signed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == said
        numbers.append(said)
        times.append(this_update)
    assert len(numbers) >= 5
    assert numbers == [*range(1, len(numbers) + 1)]
    assert times == sorted(times)
    assert len(latest(world)) == 5


def test_list_with_a_fault_is_not_signed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(world)
    world.now += INTERVAL
    with monkeypatch.context() as longer, pytest.raises(CRLNotClean, match=r"CRL 2: .*crl_lifetime"):
        longer.setattr(crl, "LIFETIME", timedelta(days=11))
        publish(world)
    assert number(world) == 1
    assert publish(world)
    assert number(world) == 2


def test_revocation_is_on_a_crl_at_once_and_once_announced(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    publish(world)
    revoke(world, renewal)
    revoke(world, renewal)
    assert publish(world)
    assert not publish(world)
    entry = latest(world).get_revoked_certificate_by_serial_number(serial(world, renewal))
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded
    assert world.announced_types(renewal.renewal_id).count("certificate-revoked") == 1


def test_crl_entry_stays_until_one_crl_after_the_certificates_expiry(world: World) -> None:
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


def test_key_compromise_revokes_all_certificates_of_the_key(world: World) -> None:
    lenient = World(world.pool, allow_key_reuse=True)
    first = lenient.opened(["www.example.hk"])
    shared_key = as_pem(csr_der(ec_key()))
    lenient.submit(first, csr=shared_key)
    lenient.issue()
    second = lenient.opened(["b.example.hk"])
    lenient.submit(second, csr=shared_key)
    lenient.issue()
    revoke(lenient, first, RevocationReason.KEY_COMPROMISE)
    assert lenient.announced_types(second.renewal_id)[-1] == "certificate-revoked"
    assert lenient.rows("SELECT count(*) FROM blocked_keys") == [(1,)]


def reason_shown(world: World, renewal: Renewal) -> tuple[x509.ReasonFlags, datetime]:
    entry = latest(world).get_revoked_certificate_by_serial_number(serial(world, renewal))
    assert entry is not None
    return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason, entry.revocation_date_utc


def test_more_serious_reason_keeps_the_date_and_is_on_a_crl_at_once(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    first = world.now
    revoke(world, renewal, RevocationReason.SUPERSEDED)
    publish(world)
    world.now += timedelta(minutes=5)
    revoke(world, renewal, RevocationReason.KEY_COMPROMISE)
    assert publish(world)
    assert reason_shown(world, renewal) == (x509.ReasonFlags.key_compromise, first.replace(microsecond=0))
    assert world.announced_types(renewal.renewal_id).count("certificate-revoked") == 2
    assert world.rows("SELECT count(*) FROM blocked_keys") == [(1,)]
    assert not publish(world)


@pytest.mark.parametrize("later", [each for each in RevocationReason if each is not RevocationReason.KEY_COMPROMISE])
def test_less_serious_reason_changes_nothing(world: World, later: RevocationReason) -> None:
    renewal = world.issued(["www.example.hk"])
    revoke(world, renewal, RevocationReason.KEY_COMPROMISE)
    publish(world)
    revoke(world, renewal, later)
    assert not publish(world)
    assert reason_shown(world, renewal)[0] is x509.ReasonFlags.key_compromise


def sharing_a_key(world: World) -> tuple[Renewal, Renewal]:
    """Return two renewals whose certificates have one key, in the order in which they are locked."""
    shared_key, made = as_pem(csr_der(ec_key())), []
    for name in ("a.example.hk", "b.example.hk"):
        made.append(world.opened([name]))
        world.submit(made[-1], csr=shared_key)
        world.issue()
    first, second = sorted(made, key=lambda renewal: renewal.renewal_id)
    return first, second


def test_compromised_key_of_an_expired_certificate_is_blocked_and_its_siblings_revoked(world: World) -> None:
    lenient = World(world.pool, allow_key_reuse=True)
    expired, sibling = sharing_a_key(lenient)
    lenient.rows(
        "UPDATE certificates SET not_after = %s WHERE renewal_id = %s RETURNING 1",
        lenient.now - timedelta(days=1),
        expired.renewal_id,
    )
    revoke(lenient, expired, RevocationReason.KEY_COMPROMISE)
    assert lenient.rows("SELECT count(*) FROM blocked_keys") == [(1,)]
    assert lenient.announced_types(sibling.renewal_id)[-1] == "certificate-revoked"
    assert "certificate-revoked" not in lenient.announced_types(expired.renewal_id)


def test_compromised_key_raises_the_reason_of_every_sibling(world: World) -> None:
    lenient = World(world.pool, allow_key_reuse=True)
    first, second = sharing_a_key(lenient)
    revoke(lenient, second, RevocationReason.CESSATION_OF_OPERATION)
    revoke(lenient, first, RevocationReason.KEY_COMPROMISE)
    publish(lenient)
    for renewal in (first, second):
        assert reason_shown(lenient, renewal)[0] is x509.ReasonFlags.key_compromise


@pytest.mark.parametrize("run", range(3))  # who of the waiting comes first is chance
def test_concurrent_revocations_of_one_key_never_deadlock(world: World, run: int) -> None:
    lenient = World(world.pool, allow_key_reuse=True)
    first, second = sharing_a_key(lenient)
    with ThreadPoolExecutor(2) as threads:
        with lenient.begin() as tx:  # both are halted in the middle, the second with what the first wants
            store.lock_gate(tx.conn, first.renewal_id)
            runs = []
            for waiting, renewal in enumerate((first, second), start=1):
                runs.append(threads.submit(revoke, lenient, renewal, RevocationReason.KEY_COMPROMISE))
                wait_for_lockers(lenient, waiting)
        for each in runs:
            each.result(10)
    assert lenient.rows("SELECT DISTINCT revocation_reason FROM certificates") == [("keyCompromise",)]


def wait_for_lockers(world: World, count: int) -> None:
    """Wait until so many others wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 10
    while world.rows(query)[0][0] < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_revocation_during_a_crl_is_on_this_or_the_next_crl(world: World) -> None:
    early, late = world.issued(["a.example.hk"]), world.issued(["b.example.hk"])
    revoke(world, early)
    with world.begin() as tx:
        certificate_store.list_unlisted(tx.conn, 1)
        revoke(world, late)
        shown = {r.serial for r in certificate_store.revocations(tx.conn, 1, None)}
    assert shown == {serial(world, early), serial(world, late)}
    assert publish(world)
    assert len(latest(world)) == 2


def test_operator_revokes_by_serial(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    with world.begin() as tx:
        revocation.revoke_serial(tx, f"{serial(world, renewal):x}", RevocationReason.PRIVILEGE_WITHDRAWN, "operator")
    with world.begin() as tx, pytest.raises(CertificateNotFound):
        revocation.revoke_serial(tx, "ff", RevocationReason.UNSPECIFIED, "operator")
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'certificate-revoked'") == [("operator",)]


def test_expired_certificate_is_not_revoked(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    world.now = not_after(world) + timedelta(seconds=1)
    with pytest.raises(CertificateExpired):
        revoke(world, renewal)


def test_another_ar_of_the_subscriber_may_revoke_and_others_may_not(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    item_id = renewal.items[0].item_id

    def by(subscriber_id: str) -> None:
        caller = Caller(ar_id=ARId("AR-9"), subscriber_id=SubscriberId(subscriber_id), certificate_sha256="c")
        with world.begin() as tx:
            revocation.revoke_own(tx, item_id, RevocationReason.UNSPECIFIED, caller)

    with pytest.raises(OrderNotFound):
        by("SUB-2")
    by("SUB-1")
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-revoked"


def test_certificate_is_accepted_once_and_never_after_revocation(world: World) -> None:
    renewal = world.issued(["www.example.hk"])
    revoked = world.issued(["b.example.hk"])
    revoke(world, revoked)
    for _ in range(2):
        with world.begin() as tx:
            revocation.accept(tx, renewal.items[0].item_id, renewal.caller)
    assert world.announced_types(renewal.renewal_id).count("certificate-accepted") == 1
    with world.begin() as tx, pytest.raises(InvalidTransition):
        revocation.accept(tx, revoked.items[0].item_id, revoked.caller)


@pytest.mark.parametrize("reason", [RevocationReason.SUPERSEDED, RevocationReason.KEY_COMPROMISE])
def test_event_of_a_revocation_names_the_party_that_revoked(world: World, reason: RevocationReason) -> None:
    by_ar, by_ca = world.issued(["www.example.hk"]), world.issued(["shop.example.hk"])
    revoke(world, by_ar, reason)
    with world.begin() as tx:
        revocation.revoke_serial(tx, f"{serial(world, by_ca):x}", reason, "operator")
    for renewal, party in ((by_ar, "representative"), (by_ca, "ca")):
        (event,) = world.announced(renewal.renewal_id, CertificateRevoked)
        assert event.revoked_by == party
