"""Issuance from CSR to certificate, with failures in between and a cancellation at the worst moment."""

import subprocess
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.issuance import certificate_issuance, certificate_signing, handlers, store, work
from services.issuance.ca import lint
from services.issuance.certificate_forms import pem
from services.issuance.domain import Intent
from services.issuance.issuer import SignatureUnusable
from services.issuance.refusals import InvalidTransition
from shared.events.application import CancellationRequested
from shared.security.proofs import ProofRefused
from tests.integration.services.issuance.world import Renewal, World, items
from tests.support.engines import Database
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, rsa_key
from tests.unit.services.issuance.pki import NOW


def test_three_issued_items_pass_openssl_and_pkilint(world: World, tmp_path: Path) -> None:
    renewal = world.issued(["www.example.hk"], ["*.example.hk"], ["a.example.hk", "b.example.hk", "c.example.hk"])
    assert (
        world.announced_types(renewal.renewal_id) == ["order-opened"] * 3 + ["csr-received", "certificate-issued"] * 3
    )
    ca = world.issuer.ca
    (tmp_path / "root.pem").write_bytes(ca.chain[0].public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(pem([*ca.served]))
    found = world.rows("SELECT der FROM certificates")
    assert len(found) == 3
    for precertificate, _ in world.rows("SELECT precertificate, scts FROM intents"):
        assert lint.pkilint_findings(precertificate) == ()
    for (der,) in found:
        assert lint.pkilint_findings(der) == ()
        (tmp_path / "leaf.pem").write_bytes(
            x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
        )
        command = ["openssl", "verify", "-attime", str(int(NOW.timestamp()) + 1), "-CAfile", "root.pem"]
        result = subprocess.run(
            [*command, "-untrusted", "ca.pem", "leaf.pem"], cwd=tmp_path, capture_output=True, check=True
        )
        assert result.stdout == b"leaf.pem: OK\n"
    assert world.rows("SELECT DISTINCT state FROM pins") == [("spent",)]


class Dies(BaseException):
    """The process ends here."""


class SignerThatDies:
    """Signs, and dies before anyone has that signature: the precertificate's, or the second, the certificate's."""

    def __init__(self, world: World, at: int = 1) -> None:
        self._signer = world.issuer.signer
        self.algorithm, self.spki = self._signer.algorithm, self._signer.spki
        self.signatures: list[bytes] = []
        self._at = at

    def sign(self, to_be_signed: bytes) -> bytes:
        self.signatures.append(self._signer.sign(to_be_signed))
        if len(self.signatures) == self._at:
            raise Dies
        return self.signatures[-1]


def test_wrong_signature_is_never_stored(world: World) -> None:
    class Wrong(SignerThatDies):
        def sign(self, to_be_signed: bytes) -> bytes:
            return self._signer.sign(to_be_signed + b"x")

    world.submit(world.opened(["www.example.hk"]))
    with pytest.raises(SignatureUnusable):
        work.issue_next(world.pool, world.deps(signer=Wrong(world)), clock=world.clock)
    assert world.rows("SELECT 1 FROM certificates") == []


def test_two_workers_on_one_intent_store_one_certificate(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    with world.begin() as tx:
        intent = certificate_issuance.make_intent(tx, renewal.items[0].item_id, world.deps())
    assert isinstance(intent, Intent)
    der = certificate_signing.sign(world.pool, intent, world.deps(), world.clock, validated_at=world.now)
    assert der is not None
    with world.begin() as tx:
        assert certificate_issuance.settle(tx, intent, der)
    with world.begin() as tx:
        assert not certificate_issuance.settle(tx, intent, der)
    assert world.announced_types(renewal.renewal_id).count("certificate-issued") == 1


def test_item_gets_one_intent_only(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    for expected in (True, False):
        with world.begin() as tx:
            made = certificate_issuance.make_intent(tx, renewal.items[0].item_id, world.deps())
        assert isinstance(made, Intent) is expected


def test_cancellation_during_the_intent_of_another_item_waits_and_is_declined(world: World) -> None:
    renewal = world.opened(["www.example.hk"], ["b.example.hk"])
    world.submit(renewal)
    with world.begin() as tx:
        certificate_issuance.make_intent(tx, renewal.items[0].item_id, world.deps())
        cancelling = threading.Thread(target=world.cancel, args=(renewal,))
        cancelling.start()
        cancelling.join(0.3)
        assert cancelling.is_alive()
    cancelling.join(10)
    assert world.announced_types(renewal.renewal_id)[-2:] == ["cancellation-declined", "issuance-refused"]
    assert world.rows("SELECT state, refusal FROM orders ORDER BY position") == [
        ("issuing", None),
        ("refused", "cancelled"),
    ]


def test_intent_during_a_cancellation_waits_and_is_not_made(world: World) -> None:
    renewal = world.opened(["www.example.hk"], ["b.example.hk"])
    world.submit(renewal)

    def make_intent() -> None:
        with world.begin() as tx:
            certificate_issuance.make_intent(tx, renewal.items[0].item_id, world.deps())

    with world.begin() as tx:
        handlers.on_cancellation_requested(tx, CancellationRequested(renewal_id=renewal.renewal_id))
        making = threading.Thread(target=make_intent)
        making.start()
        making.join(0.3)
        assert making.is_alive()
    making.join(10)
    assert world.rows("SELECT 1 FROM intents") == []
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-withheld"


def test_cancellation_after_a_certificate_is_declined_and_ends_open_items(world: World) -> None:
    renewal = world.opened(["www.example.hk"], ["b.example.hk"])
    world.submit(renewal)
    world.issue()
    world.cancel(renewal)
    assert world.announced_types(renewal.renewal_id)[-2:] == ["cancellation-declined", "issuance-refused"]
    with pytest.raises(InvalidTransition):
        world.submit(renewal, 1)
    world.cancel(renewal)
    assert world.announced_types(renewal.renewal_id)[-2:] == ["issuance-refused", "cancellation-declined"]
    assert world.rows("SELECT state FROM orders ORDER BY position") == [("issued",), ("refused",)]


def test_key_blocked_after_submission_discards_the_csr_and_another_is_accepted(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    order = world.submit(renewal)
    with world.begin() as tx:
        store.add_blocked_key(tx.conn, order.spki_sha256, "reported", tx.now)
    assert world.issue()
    assert world.rows("SELECT state, refusal FROM orders") == [("awaiting-csr", "key-blocked")]
    world.submit(renewal)
    world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"


def test_record_that_cannot_be_a_subject_ends_the_item_and_voids_its_pins(world: World) -> None:
    renewal = world.opened(["www.example.hk"], subscriber_name="X" * 65)
    world.submit(renewal)
    world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    assert world.rows("SELECT state FROM pins") == [("void",)]


def test_lint_finding_makes_a_tombstone_and_refuses_the_item(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    internal = world.deps(addresses=replace(world.issuer.addresses, crl_url="http://crl.test/a.crl"))
    work.issue_next(world.pool, internal, clock=world.clock)
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    assert world.rows("SELECT state, cardinality(findings) > 0 FROM intents") == [("tombstone", True)]
    world.cancel(renewal)
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-withheld"


def test_stored_order_that_differs_from_its_proofs_is_not_issued(world: World, issuance: Database) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal, csr=as_pem(csr_der(rsa_key())))
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("UPDATE orders SET server_names = '{evil.example.hk}'")
    with pytest.raises(ProofRefused):
        world.issue()
    assert world.rows("SELECT 1 FROM intents") == []


def test_failing_orders_delay_no_certificate(world: World, issuance: Database) -> None:
    failing = [world.opened(["www.example.hk"]) for _ in range(4)]
    for renewal in failing:
        world.submit(renewal)
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("UPDATE orders SET srn = 'another'")
    world.now += timedelta(seconds=1)
    sound = world.opened(["www.example.hk"])
    for _ in failing:
        with pytest.raises(ProofRefused):
            world.issue()
    world.now += timedelta(minutes=2)
    world.submit(sound)
    assert world.issue(), "the new order comes before those that have failed and are due again"
    assert world.announced_types(sound.renewal_id)[-1] == "certificate-issued"
    for _ in failing:
        with pytest.raises(ProofRefused):
            world.issue()
    world.now += timedelta(seconds=61)
    assert not world.issue(), "the second lease is longer than the first"


def test_failing_pin_delays_no_other(world: World, issuance: Database) -> None:
    failing, sound = Renewal(items=items(["a.example.hk"])), Renewal(items=items(["b.example.hk"]))
    for renewal in (failing, sound):
        with world.begin() as tx:
            handlers.on_csr_requested(tx, world.request(renewal), keys=world.keys)
        world.now += timedelta(seconds=1)
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("UPDATE renewals SET document = '{}' WHERE renewal_id = %s", (failing.renewal_id,))
    with pytest.raises(Exception, match=r".*"):
        world.seal()
    assert world.seal()
    assert not world.seal()
    assert list(world.letters(sound)) == ["b.example.hk"]
