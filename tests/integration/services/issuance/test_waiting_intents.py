"""Intents that wait for their signature: a signer that is away or slow, and other workers meanwhile."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from services.issuance import certificate_issuance, revocation, work
from services.issuance.ca.signer import SignerUnavailable
from tests.integration.services.issuance.test_issuing import SignerThatDies
from tests.integration.services.issuance.world import Renewal, World
from tests.support.engines import Database
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, rsa_key


def test_unavailable_signer_is_retried_later(world: World) -> None:
    renewal = wait_for_a_signature(world)
    world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"


class Away(SignerThatDies):
    """A signer that does not answer."""

    def sign(self, to_be_signed: bytes) -> bytes:
        raise SignerUnavailable("the token does not answer")


def wait_for_a_signature(world: World, attestation: dict[str, Any] | None = None, **fields: Any) -> Renewal:
    """Return a renewal whose intent is stored and could not be signed."""
    renewal = world.opened(["www.example.hk"], attestation=attestation or {})
    world.submit(renewal, **fields)
    with pytest.raises(SignerUnavailable):
        work.issue_next(world.pool, world.deps(signer=Away(world)), clock=world.clock)
    world.now += certificate_issuance.LEASE
    return renewal


def assert_refused(world: World, renewal: Renewal, reason: str) -> None:
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    assert world.rows("SELECT refusal, state FROM orders") == [(reason, "refused")]
    assert world.rows("SELECT state, due_at FROM intents") == [("tombstone", None)]
    assert world.rows("SELECT 1 FROM certificates") == []
    assert not world.issue()


def test_key_that_became_weak_before_signing_is_not_certified(world: World) -> None:
    renewal = wait_for_a_signature(world)
    ((spki,),) = world.rows("SELECT spki_sha256 FROM orders")
    with world.begin() as tx:
        revocation.block_key(tx, spki, source="reported", actor="ops")
    assert_refused(world, renewal, "key-blocked")


@pytest.mark.parametrize("now", [None, datetime(2027, 3, 14, 12, tzinfo=UTC)], ids=["two days", "a shorter limit"])
def test_outdated_intent_is_replaced_by_one_with_another_serial(world: World, now: datetime | None) -> None:
    world.now = now or world.now
    renewal = wait_for_a_signature(world)
    ((first,),) = world.rows("SELECT serial FROM intents")
    world.now += timedelta(days=1) if now else timedelta(days=3)
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    ((second, not_before, not_after),) = world.rows("SELECT serial, not_before, not_after FROM certificates")
    assert second != first
    assert abs(world.now - not_before) < timedelta(seconds=1)
    assert (not_after - not_before).days < (99 if now else 199)
    assert dict(world.rows("SELECT serial, state FROM intents")) == {first: "tombstone", second: "signed"}
    assert world.rows("SELECT DISTINCT state FROM pins") == [("spent",)]
    assert not world.issue()


def test_signer_away_for_three_days_refuses_nobody(world: World) -> None:
    renewal = wait_for_a_signature(world)
    for _ in range(3 * 24):
        world.now += timedelta(hours=1)
        with contextlib.suppress(SignerUnavailable):
            work.issue_next(world.pool, world.deps(signer=Away(world)), clock=world.clock)
    assert world.announced_types(renewal.renewal_id)[-1] == "csr-received"
    world.now += timedelta(hours=1)
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    assert world.rows("SELECT count(*) FROM intents WHERE state = 'tombstone'") == [(1,)]


def test_waiting_intent_whose_csr_asks_for_other_names_is_ended(world: World, issuance: Database) -> None:
    renewal = wait_for_a_signature(world, csr=as_pem(csr_der(rsa_key(), names=["www.example.hk"])))
    with psycopg.connect(issuance.url) as conn:
        conn.execute("UPDATE orders SET csr = %s", (csr_der(rsa_key(), names=["evil.example.hk"]),))
    assert_refused(world, renewal, "csr-names-differ")


def test_intent_that_differs_from_its_order_is_not_signed(world: World, issuance: Database) -> None:
    renewal = wait_for_a_signature(world)
    ((tbs,),) = world.rows("SELECT tbs FROM intents")
    with psycopg.connect(issuance.url) as conn:
        conn.execute("UPDATE intents SET tbs = %s", (tbs.replace(b"www.example.hk", b"www.example.uk"),))
    assert_refused(world, renewal, "lint")


def signed_while(world: World, renewal: Renewal, happens: Callable[[], object], *, at: int = 2) -> None:
    """Run something while the token signs the precertificate (`at` 1) or the certificate."""

    class Slow(SignerThatDies):
        def sign(self, to_be_signed: bytes) -> bytes:
            self.signatures.append(self._signer.sign(to_be_signed))
            if len(self.signatures) == at:
                happens()
            return self.signatures[-1]

    work.issue_next(world.pool, world.deps(signer=Slow(world)), clock=world.clock)


def block_its_key(world: World) -> None:
    ((spki,),) = world.rows("SELECT spki_sha256 FROM orders")
    with world.begin() as tx:
        revocation.block_key(tx, spki, source="reported", actor="ops")


def assert_kept_as_revoked(world: World, renewal: Renewal, reason: str) -> None:
    assert world.announced_types(renewal.renewal_id)[-2:] == ["issuance-refused", "certificate-revoked"]
    assert "certificate-issued" not in world.announced_types(renewal.renewal_id)
    assert world.rows("SELECT state FROM orders") == [("refused",)]
    assert world.rows("SELECT revocation_reason, revoked_at IS NOT NULL FROM certificates") == [(reason, True)]
    assert not world.issue()


def test_intent_replaced_by_another_worker_while_the_token_signs_gives_no_second_certificate(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)

    def taken_up_by_another() -> None:
        world.now += timedelta(days=2, minutes=1)  # too old to be signed by now
        assert world.issue()

    signed_while(world, renewal, taken_up_by_another)
    assert world.announced_types(renewal.renewal_id)[-2:] == ["certificate-issued", "certificate-revoked"]
    kept = world.rows("SELECT given_out, revocation_reason FROM certificates ORDER BY given_out")
    assert kept == [(False, "unspecified"), (True, None)]
    assert world.rows("SELECT state FROM orders") == [("issued",)]
    answer = (
        world.app()
        .test_client()
        .get(f"/issuance/v1/orders/{renewal.items[0].item_id}/certificate", headers=world.headers(renewal))
    )
    assert answer.status_code == 200
    assert not world.issue()


def test_key_blocked_while_a_replaced_intent_is_signed_ends_the_one_that_replaced_it(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)

    def replaced_and_then_blocked() -> None:
        world.now += timedelta(days=2, minutes=1)
        world.prove(renewal)
        with pytest.raises(SignerUnavailable):
            work.issue_next(world.pool, world.deps(signer=Away(world)), clock=world.clock)
        block_its_key(world)

    signed_while(world, renewal, replaced_and_then_blocked)
    assert world.rows("SELECT given_out, revocation_reason FROM certificates") == [(False, "keyCompromise")]
    world.now += certificate_issuance.LEASE
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    assert world.rows("SELECT DISTINCT state FROM intents") == [("tombstone",)]


def test_key_blocked_while_the_token_signs_gives_no_certificate(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    signed_while(world, renewal, lambda: block_its_key(world))
    assert_kept_as_revoked(world, renewal, "keyCompromise")


@pytest.mark.parametrize("at", [1, 2])
def test_intent_settled_by_another_worker_while_the_token_signs_is_settled_once(world: World, at: int) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)

    def taken_up_by_another() -> None:
        world.now += certificate_issuance.LEASE
        assert world.issue()

    signed_while(world, renewal, taken_up_by_another, at=at)
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "csr-received", "certificate-issued"]
    assert world.rows("SELECT revoked_at FROM certificates") == [(None,)]


def test_waiting_intent_of_a_withheld_renewal_is_ended(world: World, issuance: Database) -> None:
    renewal = wait_for_a_signature(world)
    with psycopg.connect(issuance.url) as conn:
        conn.execute("UPDATE gates SET withheld_at = %s", (world.now,))
    before = world.announced_types(renewal.renewal_id)
    assert world.issue()
    assert world.rows("SELECT state, due_at FROM orders") == [("withheld", None)]
    assert world.rows("SELECT state, due_at FROM intents") == [("tombstone", None)]
    assert world.announced_types(renewal.renewal_id) == before
    assert not world.issue()


def test_csr_refused_after_its_intent_aged_ends_the_order_because_its_pins_are_spent(world: World) -> None:
    renewal = wait_for_a_signature(world)
    records = dict(world.zone.records)
    world.zone.records.clear()
    world.now += timedelta(days=201)
    assert world.issue()
    assert world.rows("SELECT state FROM orders") == [("csr-received",)]
    block_its_key(world)
    world.zone.records.update(records)
    world.now += timedelta(hours=1)
    assert world.issue()
    assert world.rows("SELECT state, refusal FROM orders") == [("refused", "key-blocked")]
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
