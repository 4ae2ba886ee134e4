"""Readers of other platforms: what they say of certificates and CRLs that are sound, and of broken ones."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance.ca.crl import RevocationReason
from tests.integration.services.issuance.test_crls import publish, revoke
from tests.integration.services.issuance.world import World
from tests.support import readers
from tests.support.readers import Made
from tests.unit.services.issuance.pki import root_crl


@pytest.fixture
def made(world: World) -> Made:
    """A certificate that is good and one that is revoked, with their precertificates and two CRLs."""
    if not readers.present():
        pytest.skip("neither `go` nor a JDK's `java` is on the PATH")
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


def _other_signature(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])
