"""pkilint with our index: the same results, in the same order, as without it, on good, bad and broken certificates."""

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pkilint import loader
from pkilint.cabf import serverauth
from pkilint.cabf.serverauth.serverauth_constants import CertificateType
from pkilint.document import NodeVisitor
from pkilint.pkix import certificate as pkix_certificate
from pkilint.validation import Validator, ValidatorContainer
from pyasn1.type.base import Asn1Type
from pyasn1_alt_modules import rfc5280

from services.issuance import der
from services.issuance.ca.profiles import assemble, leaf_tbs
from services.issuance.ca.validator_index import indexed
from services.issuance.ct import scts, tbs
from services.issuance.ct.scts import SCT
from tests.unit.services.issuance.pki import ADDRESSES, issuing_ca, leaf
from tests.unit.services.issuance.test_lint import organisation, subject, usages

KINDS = (CertificateType.OV_PRE_CERTIFICATE, CertificateType.OV_FINAL_CERTIFICATE)
SCTS = scts.encode_list((SCT(log_id=b"i" * 32, timestamp=1, extensions=b"", signature=b"\x04\x03\x00\x00"),))


@cache
def both(kind: CertificateType) -> tuple[Any, Validator]:
    plain = pkix_certificate.create_pkix_certificate_validator_container(
        serverauth.create_decoding_validators(), serverauth.create_validators(kind)
    )
    return plain, indexed(plain)


def results(validator: Any, certificate: bytes) -> list[tuple[str, str, str]]:
    """Return all results, of any severity, as names of validators, paths of nodes, and findings."""
    document = loader.load_der_certificate(certificate, "certificate", "certificate")
    found = validator.validate(document.root)
    return [(each.validator.name, each.node.path, str(each.finding_descriptions)) for each in found]


def plain_tbs(kind: str = "rsa", names: tuple[str, ...] = ("www.example.hk",)) -> bytes:
    ca, signer = issuing_ca(kind)
    return leaf_tbs(leaf(names=names), ca, ADDRESSES, signer.algorithm)


def signed(to_be_signed: bytes) -> bytes:
    _, signer = issuing_ca()
    return assemble(to_be_signed, signer.algorithm, signer.sign(to_be_signed))


Change = Callable[[bytes], bytes]


def parsed(change: Callable[[asn1_x509.TbsCertificate], None]) -> Change:
    """Return a change of the bytes by one of their decoded form."""

    def apply(content: bytes) -> bytes:
        decoded = asn1_x509.TbsCertificate.load(content)
        change(decoded)
        return bytes(decoded.dump(force=True))

    return apply


def extensions(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Return a change of the extensions, as bytes."""

    def apply(content: bytes) -> bytes:
        *head, last = der.elements(der.content(content, 0x30))
        found = change(der.elements(der.content(der.content(last, 0xA3), 0x30)))
        return der.element(0x30, b"".join(head) + der.element(0xA3, der.element(0x30, b"".join(found))))

    return apply


def with_extension(oid: str, value: bytes, *, critical: bool = False) -> Change:
    """Return a change that adds an extension."""
    fields = core.ObjectIdentifier(oid).dump() + b"\x01\x01\xff" * critical + der.element(4, value)
    return extensions(lambda found: [*found, der.element(0x30, fields)])


def of(value: x509.ExtensionType, *, critical: bool = False) -> Change:
    return with_extension(value.oid.dotted_string, value.public_bytes(), critical=critical)


def first_version(decoded: asn1_x509.TbsCertificate) -> None:
    decoded["version"] = "v1"


NAMES = x509.SubjectAlternativeName(
    [x509.DNSName("under_score.local"), x509.DNSName("x..y"), x509.RFC822Name("a@b"), x509.DNSName("*.*.example.hk")]
)
CHANGES: dict[str, Change] = {
    "placeholder": parsed(organisation("N/A")),
    "long organisation": parsed(organisation("O" * 65)),
    "HTML": parsed(organisation("A &amp; B")),
    "common name": parsed(
        subject(("country_name", "HK"), ("common_name", "other.example.hk"), ("organization_name", "E"))
    ),
    "no country": parsed(subject(("organization_name", "E"), ("organizational_unit_name", "U"))),
    "wrong country": parsed(subject(("country_name", "ZZ"), ("organization_name", "E"))),
    "e-mail": parsed(subject(("country_name", "HK"), ("email_address", "a@b.example.hk"))),
    "wrong order": parsed(subject(("organization_name", "E"), ("country_name", "HK"), ("locality_name", "H"))),
    "client": parsed(usages("server_auth", "client_auth")),
    "any usage": parsed(usages("any_extended_key_usage")),
    "names alone": extensions(lambda found: found[-1:]),
    "version 1": parsed(first_version),
    "bad names twice": of(NAMES),
    "critical names": of(NAMES, critical=True),
    "key identifier": of(x509.SubjectKeyIdentifier(b"12345678"), critical=True),
    "CA": of(x509.BasicConstraints(ca=True, path_length=0)),
    "constraints": of(x509.NameConstraints([x509.DNSName("example.hk")], None)),
    "policy": of(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), ["ftp://x"])])),
    "undecodable": with_extension("2.5.29.37", b"\x04\x01x"),
    "unknown": with_extension("1.2.3.4", b"\x05\x00", critical=True),
    "inhibit": of(x509.InhibitAnyPolicy(0)),
}


def good() -> Iterator[bytes]:
    for kind in ("rsa", "ec"):
        for names in (("www.example.hk",), ("*.example.hk", "example.hk")):
            made = tbs.precertificate(plain_tbs(kind, names))
            yield signed(made)
            yield signed(tbs.certificate(made, SCTS))


@pytest.mark.parametrize("kind", KINDS)
def test_index_finds_nothing_else_on_good_certificates(kind: CertificateType) -> None:
    plain, index = both(kind)
    for certificate in good():
        assert results(index, certificate) == results(plain, certificate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CHANGES)
def test_index_finds_the_same_faults(name: str, kind: CertificateType) -> None:
    plain, index = both(kind)
    certificate = signed(CHANGES[name](plain_tbs()))
    found = results(plain, certificate)
    assert results(index, certificate) == found
    assert any(findings != "[]" for _, _, findings in found)


def test_index_finds_the_same_on_broken_bytes() -> None:
    rng = random.Random(7)
    plain, index = both(KINDS[0])
    whole, compared = signed(tbs.precertificate(plain_tbs())), 0
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            expected = results(plain, bytes(broken))
        except ValueError:  # nothing of it can be decoded, with or without an index
            continue
        assert results(index, bytes(broken)) == expected
        compared += 1
    assert compared > 50


class Loud(Validator):  # type: ignore[misc]  # pkilint has no types
    """Validator that fails at every node that it is offered."""

    def validate(self, node: Any) -> Any:
        raise ZeroDivisionError


class Wilful(Loud):
    """Validator that is for all nodes, whatever class it names."""

    def match(self, node: Any) -> bool:
        return True


@pytest.mark.parametrize(
    ("validator", "least"),
    [
        (Wilful(pdu_class=core.Null), 50),
        (Loud(pdu_class=core.Null), 0),
        (Loud(pdu_class=Asn1Type), 50),
        (Loud(pdu_class=rfc5280.Extension, path_re=re.compile(r".*\.3$")), 1),
        (ValidatorContainer(validators=[Loud()], pdu_class=rfc5280.Extensions), 20),
    ],
    ids=["rule of its own", "class of no node", "class of all", "class and path", "container"],
)
def test_validator_is_offered_the_same_nodes_as_without_an_index(validator: Validator, least: int) -> None:
    container = ValidatorContainer(validators=[validator])
    certificate = next(good())
    found = results(indexed(container), certificate)
    assert found == results(container, certificate)
    assert len(found) >= least
    assert bool(found) == bool(least)


def test_most_validators_name_a_class_so_that_the_index_helps() -> None:
    def leaves(container: Any) -> Iterator[Any]:
        for each in container.validators:
            yield from leaves(each) if isinstance(each, ValidatorContainer) else [each]

    found = list(leaves(both(KINDS[0])[0]))
    plain = [each for each in found if type(each).match is NodeVisitor.match]
    assert sum(getattr(each, "_pdu_class", None) is not None for each in plain) > len(found) / 2
