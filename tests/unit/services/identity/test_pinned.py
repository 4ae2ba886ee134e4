"""Which CAs identity starts with: none whose certificate limits what it may issue in a way nobody checks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from services.identity import pinned
from services.identity.certificates import Trust
from services.identity.pinned import PinRefused
from services.identity.settings import read_settings, read_trust
from shared.settings import SettingsError
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import CA, ORGANISATIONAL, make_ca, world
from tests.unit.services.identity.test_settings import ENVIRONMENT


def trust(**changes: Any) -> Trust:
    basis = Trust(
        anchors=(world().root.certificate,),
        intermediates=(world().sub.certificate,),
        policies=frozenset({ORGANISATIONAL}),
    )
    return replace(basis, **changes)


def sub(*extra: tuple[x509.ExtensionType, bool], **changes: Any) -> CA:
    return make_ca("Example limited CA", by=world().root, path_length=0, extra=extra, **changes)


def permitted(name: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=[name], excluded_subtrees=None)


DIRECTORY = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Other Company Limited")]))
# One pair of policies, ORGANISATIONAL to PERSONAL.
MAPPINGS = x509.UnrecognizedExtension(
    ExtensionOID.POLICY_MAPPINGS,
    bytes.fromhex("301c301a060b2b06010401fd1e0101110206 0b2b06010401fd1e01011101".replace(" ", "")),
)
CONSTRAINTS: dict[str, tuple[x509.ExtensionType, str]] = {
    "directoryName": (permitted(DIRECTORY), "name constraints"),
    "rfc822Name": (permitted(x509.RFC822Name("example.hk")), "name constraints"),
    "dNSName": (permitted(x509.DNSName("example.hk")), "name constraints"),
    "an excluded name": (x509.NameConstraints(None, [DIRECTORY]), "name constraints"),
    "policy mappings": (MAPPINGS, "policy mappings"),
    "policy constraints": (x509.PolicyConstraints(0, None), "policy constraints"),
    "inhibitAnyPolicy": (x509.InhibitAnyPolicy(0), "inhibitAnyPolicy"),
    "freshestCRL": (
        x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier("http://a")], None, None, None)]),
        "delta CRLs",
    ),
}


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize(("extension", "expected"), CONSTRAINTS.values(), ids=CONSTRAINTS.keys())
@pytest.mark.parametrize("place", ["anchors", "intermediates", "mutual_recognition"])
def test_ca_with_constraints_is_not_pinned(
    extension: x509.ExtensionType, expected: str, critical: bool, place: str
) -> None:
    limited = (
        make_ca("Example root", extra=((extension, critical),)) if place == "anchors" else sub((extension, critical))
    )

    with pytest.raises(PinRefused, match=expected):
        pinned.check(trust(**{place: (limited.certificate,)}))


UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
UNFIT = {
    "unknown critical extension": ({"intermediates": (sub((UNKNOWN, True)),)}, "critical extension 1.2.3.4"),
    "no policy": ({"intermediates": (sub(policies=()),)}, "no certificate policy"),
    "no policy, mutual recognition": ({"mutual_recognition": (sub(policies=()),)}, "no certificate policy"),
    "for server certificates": (
        {"intermediates": (sub((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)),)},
        "extended key usages",
    ),
    "a sub-CA as anchor": ({"anchors": (world().sub,)}, "not a root"),
    "a weak key": ({"intermediates": (sub(key=builders.rsa_key("weak sub", 1024)),)}, "weak key"),
    "with and without mutual recognition": (
        {"mutual_recognition": (world().sibling,), "intermediates": (world().sub, world().sibling)},
        "with mutual recognition and without",
    ),
}


@pytest.mark.parametrize(("cas", "expected"), UNFIT.values(), ids=UNFIT.keys())
def test_ca_that_is_unfit_is_not_pinned(cas: dict[str, tuple[CA, ...]], expected: str) -> None:
    with pytest.raises(PinRefused, match=expected):
        pinned.check(trust(**{place: tuple(each.certificate for each in found) for place, found in cas.items()}))


FIT = {
    "any policy": sub(),
    "our policy": sub(policies=(ORGANISATIONAL,)),
    "an unknown extension that is not critical": sub((UNKNOWN, False)),
    "client certificates": sub((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)),
    "any purpose": sub((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
}


@pytest.mark.parametrize("ca", FIT.values(), ids=FIT.keys())
def test_other_sub_cas_are_pinned(ca: CA) -> None:
    pinned.check(trust(intermediates=(ca.certificate,)))


def test_accepted_purposes_of_a_sub_ca_are_configured() -> None:
    mail = sub((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)).certificate
    purposes = frozenset({ExtendedKeyUsageOID.EMAIL_PROTECTION})

    pinned.check(trust(intermediates=(mail,), purposes=purposes))


def test_identity_does_not_start_with_a_constrained_sub_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = sub((permitted(DIRECTORY), False))
    for folder, ca in (("anchors", world().root), ("intermediates", limited)):
        (tmp_path / folder).mkdir()
        pem = ca.certificate.public_bytes(serialization.Encoding.PEM)
        (tmp_path / folder / "ca.pem").write_bytes(pem)
    for name, value in {**ENVIRONMENT, "CLIENT_TRUST_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PORTAL_REDIRECT_URIS", "https://portal.example/signed-in")

    with pytest.raises(SettingsError, match=r"CLIENT_TRUST_DIR: .*Example limited CA.*name constraints"):
        read_trust(read_settings())
