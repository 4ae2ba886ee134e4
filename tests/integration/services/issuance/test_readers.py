"""Verification of what tests issue, by other platforms' readers too: of what is sound, and of what is broken."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance.ca import profiles
from services.issuance.ca.crl import RevocationReason
from services.issuance.ct.tbs import without_poison
from tests.integration.services.issuance.test_crls import publish, revoke
from tests.integration.services.issuance.world import World
from tests.support import readers
from tests.support.engines import Database
from tests.support.issued import Issued, Kept
from tests.support.readers import Made
from tests.unit.services.issuance.pki import root_crl

pytestmark = pytest.mark.timeout(300)  # the first run on a machine compiles Go's library


@pytest.fixture
def made(world: World) -> Made:
    """A certificate that is good and one that is revoked, with their precertificates and two CRLs."""
    if not readers.present():
        pytest.skip("neither Go 1.21 nor a JDK 17 is on the PATH")
    publish(world)
    world.issued(["www.example.hk"], ["*.b.example.hk"])
    revoke(world, world.issued(["c.example.hk"]), RevocationReason.SUPERSEDED)
    publish(world)
    certificates = dict(world.rows("SELECT revoked_at IS NOT NULL, array_agg(der) FROM certificates GROUP BY 1"))
    ca = world.issuer.ca
    return Made(
        root=ca.chain[-1].public_bytes(Encoding.DER),
        issuer=ca.der,
        root_crl=root_crl(),
        crls=[bytes(der) for (der,) in world.rows("SELECT der FROM crls ORDER BY number")],
        good=certificates[False],
        revoked=certificates[True],
        precertificates=[bytes(der) for (der,) in world.rows("SELECT precertificate FROM intents")],
    )


def test_readers_find_nothing_in_what_issuance_makes(world: World, made: Made) -> None:
    assert readers.faults(made, world.now) == []


def test_readers_find_each_broken_certificate_and_crl(world: World, made: Made) -> None:
    broken = replace(
        made,
        good=[made.good[0], made.revoked[0], _other_signature(made.good[0]), made.precertificates[0]],
        revoked=[made.revoked[0], made.good[0]],
        precertificates=[made.precertificates[0], made.good[0], _other_signature(made.precertificates[0])],
        crls=[made.crls[0], _other_signature(made.crls[0]), made.crls[-1]],
    )
    faults = readers.faults(broken, world.now)
    for reader in readers.present():
        found = {line.split(": ")[1].split("/", 3)[3] for line in faults if line.startswith(f"{reader}:")}
        assert found == {
            "certificates/good/1",
            "certificates/good/2",
            "certificates/good/3",
            "certificates/revoked/1",
            "precertificates/1",
            "precertificates/2",
            "crls/1",
        }, reader


def test_fault_of_a_certificate_in_a_database_is_found(world: World, made: Made) -> None:
    kept = Kept(certificates=[*made.good, *made.revoked], precertificates=made.precertificates, crls=made.crls)
    assert Issued([kept]).faults() == []
    # The first CRL does not list the revoked one.
    assert Issued([replace(kept, crls=made.crls[:1])]).faults() == []
    tbs = without_poison(profiles.tbs_of(made.precertificates[0]))
    without_scts = profiles.assemble(tbs, world.issuer.signer.algorithm, world.issuer.signer.sign(tbs))
    found = Issued([replace(kept, certificates=[without_scts])]).faults()
    assert "no_scts" in found
    assert {fault.split(":")[0] for fault in found} >= {*readers.present()}
    (fault,) = Issued([replace(kept, certificates=[_other_signature(made.good[0])])]).faults()
    assert fault.startswith("of no CA of these tests")


def test_database_is_kept_with_all_that_was_made_in_it(world: World, made: Made, issuance: Database) -> None:
    kept = Issued()
    kept.keep(issuance.superuser_url)
    (own,) = kept.databases
    assert {*own.certificates} == {*made.good, *made.revoked}
    assert {*own.precertificates} == {*made.precertificates}
    assert own.crls == made.crls


def _other_signature(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])
