"""Names that are examined are the names that are signed: nothing is signed for a name whose CAA nobody has judged."""

from dataclasses import replace

import pytest

from services.issuance import domain_evidence
from services.issuance.domain_evidence import Evidence
from services.issuance.signing_validation import NamesNotExamined
from shared.pki.observations import CAARecord
from tests.integration.services.issuance.test_domain_evidence import is_issued, look_again, obstacles, put, unproved
from tests.integration.services.issuance.test_waiting_intents import wait_for_a_signature
from tests.integration.services.issuance.world import World


def test_wildcard_whose_base_name_caa_forbids_is_not_issued(world: World) -> None:
    """The certificate of a wildcard contains the base name, which `issue` forbids though `issuewild` permits ours."""
    renewal = unproved(world, "*.example.hk")
    put(world, domain="example.hk")
    world.zone.caa["example.hk"] = (CAARecord(0, "issue", ";"), CAARecord(0, "issuewild", "hongkongpost.gov.hk"))
    look_again(world)
    assert [(o.server_name, o.reason) for o in obstacles(world, renewal)[-1]] == [("example.hk", "caa-forbids-all")]
    assert not is_issued(world, renewal)
    world.zone.caa.clear()
    look_again(world)
    assert is_issued(world, renewal)


def examine_others(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have other names examined than those of the certificate, and nothing found missing."""
    examine = domain_evidence.examine

    def examine_these(*found: object) -> Evidence:
        return replace(examine(*found), names=names)  # type: ignore[arg-type]  # handed on as they come

    monkeypatch.setattr(domain_evidence, "examine", examine_these)


@pytest.mark.parametrize("names", [(), ("*.example.hk",), ("*.example.hk", "example.hk", "shop.example.hk")], ids=len)
def test_intent_of_names_that_were_not_examined_is_not_made(
    world: World, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    renewal = world.opened(["*.example.hk"])
    world.submit(renewal)
    examine_others(monkeypatch, *names)
    with pytest.raises(NamesNotExamined):
        world.issue_once()
    assert world.rows("SELECT 1 FROM intents") == []
    assert world.rows("SELECT state, due_at IS NOT NULL FROM orders") == [("csr-received", True)]
    monkeypatch.undo()
    look_again(world)
    assert is_issued(world, renewal)


def test_waiting_intent_of_names_that_were_not_examined_is_not_signed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewal = wait_for_a_signature(world)
    examine_others(monkeypatch, "example.hk")
    with pytest.raises(NamesNotExamined):
        world.issue_once()
    assert world.rows("SELECT state, precertificate FROM intents") == [("intended", None)]
    monkeypatch.undo()
    look_again(world)
    assert is_issued(world, renewal)
