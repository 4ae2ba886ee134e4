"""Orders of reissues: opened on application's entitlement, without PINs; the CSR is accepted without one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509

from services.issuance import handlers, pin_reissue
from services.issuance.pin_reissue import VoidReason
from services.issuance.refusals import KeyNotAllowed, OrderNotFound, PINsMissing, WrongReference
from shared.errors import Refused
from shared.events.application import CSRRequested
from shared.security.proofs import ProofRefused
from tests.integration.services.issuance.world import Renewal, World, items
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key


def open_orders(world: World, event: CSRRequested) -> None:
    with world.begin() as tx:
        handlers.on_csr_requested(tx, event, keys=world.keys)


def test_order_has_no_pins_and_its_csr_leads_to_a_certificate(world: World) -> None:
    reissue = world.issued(["a.example.hk", "b.example.hk"], reissue=True, paid_until="2026-12-23")
    assert world.rows("SELECT 1 FROM pins") == []
    assert world.rows("SELECT state, reissue FROM orders") == [("issued", True)]
    assert "pin-envelope-sealed" not in world.announced_types(reissue.renewal_id)
    [[der]] = world.rows("SELECT der FROM certificates")
    issued = x509.load_der_x509_certificate(der)
    assert issued.not_valid_after_utc == datetime(2026, 12, 23, 15, 59, 59, tzinfo=UTC), "the last paid second"


def test_csr_of_a_reissue_with_a_pin_is_refused(world: World) -> None:
    reissue = world.opened(["www.example.hk"], reissue=True)
    with pytest.raises(PINsMissing) as refused:
        world.submit(reissue, pins={"www.example.hk": "0000 0000 0000 0000"})
    assert refused.value.extensions == {"missing": [], "surplus": ["www.example.hk"]}


def test_csr_of_a_renewal_is_refused_without_its_pins(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    with pytest.raises(PINsMissing):
        world.submit(renewal, pins={})
    assert world.rows("SELECT state FROM orders") == [("awaiting-csr",)]


def test_only_the_signer_submits_and_with_the_reference_number(world: World) -> None:
    reissue = world.opened(["www.example.hk"], reissue=True)
    with pytest.raises(WrongReference):
        world.submit(reissue, reference="I-OTHER")
    other = replace(reissue, ar_id="AR-2")
    with pytest.raises(OrderNotFound):
        world.submit(other)


def test_key_of_the_present_certificate_is_refused(world: World) -> None:
    key = ec_key()
    csr = as_pem(csr_der(key, names=("www.example.hk",)))
    first = world.opened(["www.example.hk"])
    world.submit(first, csr=csr)
    world.issue()
    reissue = world.opened(["www.example.hk"], reissue=True)
    with pytest.raises(KeyNotAllowed):
        world.submit(reissue, csr=csr)


def reissue_of(**changes: object) -> Renewal:
    made = Renewal(items=items(["www.example.hk"]), reissue=True)
    for part, value in changes.items():
        made.document[part] = value
    return made


@pytest.mark.parametrize("forgery", ["stranger", "receipt", "other document", "other renewal", "attestation"])
def test_forged_entitlement_opens_no_order(world: World, forgery: str) -> None:
    reissue = reissue_of()
    forged = {
        "stranger": lambda: world.entitlement(reissue, "stranger"),
        "receipt": lambda: world.receipt(reissue),
        "other document": lambda: world.entitlement(reissue, document_sha256="0" * 64),
        "other renewal": lambda: world.entitlement(reissue_of()),
        "attestation": lambda: world.attest(reissue),
    }[forgery]()
    with pytest.raises(Refused):
        open_orders(world, replace(world.request(reissue), receipt=forged))
    assert world.rows("SELECT 1 FROM orders") == []


def test_entitlement_opens_no_order_of_a_renewal(world: World) -> None:
    """Application alone cannot give away a year that is to be paid for."""
    renewal = Renewal(items=items(["www.example.hk"]), paid_until="2027-12-31")
    with pytest.raises(Refused):
        open_orders(world, replace(world.request(renewal), receipt=world.entitlement(renewal)))
    assert world.rows("SELECT 1 FROM orders") == []


def test_reissue_with_a_fee_or_without_a_period_opens_no_order(world: World) -> None:
    with_fee = reissue_of(fee={"amount_minor": 250000, "currency": "HKD"})
    with_fee.document["items"][0]["amount_minor"] = 250000
    without_period = reissue_of()
    del without_period.document["items"][0]["paid_until"]
    for bent in (with_fee, without_period):
        with pytest.raises(ProofRefused):
            open_orders(world, world.request(bent))
    assert world.rows("SELECT 1 FROM orders") == []


def test_operator_cannot_order_a_pin_envelope_for_a_reissue(world: World) -> None:
    reissue = world.opened(["www.example.hk"], reissue=True)
    with pytest.raises(OrderNotFound), world.begin() as tx:
        pin_reissue.reissue_pin(tx, str(reissue.items[0].item_id), "www.example.hk", VoidReason.LOST, "operator")
