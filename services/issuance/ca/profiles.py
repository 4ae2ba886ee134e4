"""Certificate profile: the organisation-validated TLS server certificate of Baseline Requirements 7.1.2.7, no other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from asn1crypto import algos, core, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from services.issuance import der
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.validity_policy import Validity
from services.issuance.domain import Organisation
from shared.errors import Refused
from shared.validation.subscriber_record import RecordRefused, check_subject

ORGANISATION_VALIDATED: Final = "2.23.140.1.2.2"
_MAX_SERIAL: Final = 2**159
_PREFIX_BITS: Final = 16
_RANDOM_BYTES: Final = 16
_OCTET_STRING, _SEQUENCE, _EXTENSIONS = 0x04, 0x30, 0xA3
_VERSION_3: Final = bytes.fromhex("a003020102")
_TRUE: Final = bytes.fromhex("0101ff")

Random = Callable[[int], bytes]


class SubjectRefused(Refused):
    """The subscriber's record cannot be a certificate's subject."""

    reason = "subject-not-certifiable"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Addresses in certificates, and our own policy OID if the CPS defines one."""

    crl_url: str
    ca_issuers_url: str
    own_policy_oid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """The variable parts of a certificate. `spki` is the CSR's key, DER."""

    serial: int
    organisation: Organisation
    names: tuple[str, ...]
    validity: Validity
    spki: bytes


def new_serial(site_prefix: int, random: Random) -> int:
    """Return a serial number: the site's prefix, so that two sites never collide, then 128 random bits. Under 2^159."""
    if not 0 < site_prefix < 2 ** (_PREFIX_BITS - 1):
        raise ValueError(f"site prefix {site_prefix}")
    return site_prefix << (8 * _RANDOM_BYTES) | int.from_bytes(random(_RANDOM_BYTES))


def leaf_tbs(leaf: Leaf, ca: IssuingCA, addresses: Addresses, algorithm: bytes) -> bytes:
    """Return the to-be-signed bytes. `algorithm` is the signer's AlgorithmIdentifier. Raises SubjectRefused."""
    if not 0 < leaf.serial < _MAX_SERIAL:
        raise ValueError("serial number out of range")
    fields = (
        _VERSION_3,
        core.Integer(leaf.serial).dump(),
        algorithm,
        ca.subject,
        der.element(_SEQUENCE, _time(leaf.validity.not_before) + _time(leaf.validity.not_after)),
        _subject(leaf.organisation).dump(),
        leaf.spki,
        der.element(_EXTENSIONS, der.element(_SEQUENCE, _extensions(leaf, ca, addresses))),
    )
    return der.element(_SEQUENCE, b"".join(fields))


def assemble(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a certificate of these three parts, unchanged."""
    certificate = asn1_x509.Certificate(
        {
            "tbs_certificate": asn1_x509.TbsCertificate.load(tbs),
            "signature_algorithm": algos.SignedDigestAlgorithm.load(algorithm),
            "signature_value": core.OctetBitString(signature),
        }
    )
    return bytes(certificate.dump())


def unsigned(tbs: bytes) -> bytes:
    """Return a certificate of these bytes with an empty signature, for when the signature is lost."""
    algorithm = asn1_x509.TbsCertificate.load(tbs)["signature"].dump()
    return assemble(tbs, algorithm, b"")


def tbs_of(certificate: bytes) -> bytes:
    """Return the to-be-signed part of a certificate, byte for byte."""
    return bytes(asn1_x509.Certificate.load(certificate, strict=True)["tbs_certificate"].dump())


def _time(moment: datetime) -> bytes:
    # RFC 5280 requires UTCTime until 2049; no certificate lives that long.
    return bytes(core.UTCTime(moment).dump())


def _subject(organisation: Organisation) -> asn1_x509.Name:
    """Return C, ST, L, O in that order, one attribute per RDN; no OU, no CN."""
    check_organisation(organisation)
    parts: list[tuple[str, core.Asn1Value]] = [("country_name", core.PrintableString(organisation.country))]
    if organisation.state_or_province:
        parts.append(("state_or_province_name", core.UTF8String(organisation.state_or_province)))
    if organisation.locality:
        parts.append(("locality_name", core.UTF8String(organisation.locality)))
    parts.append(("organization_name", core.UTF8String(organisation.name)))
    rdns = []
    for kind, value in parts:
        chosen = value if kind == "country_name" else asn1_x509.DirectoryString(name="utf8_string", value=value)
        rdns.append(asn1_x509.RelativeDistinguishedName([asn1_x509.NameTypeAndValue({"type": kind, "value": chosen})]))
    return asn1_x509.Name(name="", value=asn1_x509.RDNSequence(rdns))


def check_organisation(organisation: Organisation) -> None:
    """Check that the record can be a certificate's subject. Raises SubjectRefused."""
    try:
        check_subject(organisation.name, organisation.country, organisation.state_or_province, organisation.locality)
    except RecordRefused as refused:
        raise SubjectRefused(str(refused)) from refused


def _extensions(leaf: Leaf, ca: IssuingCA, addresses: Addresses) -> bytes:
    """Return the extensions, encoded one after the other."""
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in leaf.names])
    return (
        _fixed_extensions(ca.key_identifier, addresses)
        + _extension(_key_usage(leaf.spki), critical=True)
        + _extension(names, critical=False)
    )


@lru_cache(maxsize=8)
def _fixed_extensions(key_identifier: bytes, addresses: Addresses) -> bytes:
    """Return the extensions that are the same in every certificate of a CA."""
    policies = [ORGANISATION_VALIDATED] + ([addresses.own_policy_oid] if addresses.own_policy_oid else [])
    values: list[tuple[x509.ExtensionType, bool]] = [
        (x509.AuthorityKeyIdentifier(key_identifier, None, None), False),
        (x509.AuthorityInformationAccess([_ca_issuers(addresses)]), False),
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(p), None) for p in policies]), False),
        (x509.CRLDistributionPoints([_distribution_point(addresses)]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
    ]
    return b"".join(_extension(value, critical=critical) for value, critical in values)


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    oid = core.ObjectIdentifier(value.oid.dotted_string).dump()
    content = oid + (_TRUE if critical else b"") + der.element(_OCTET_STRING, value.public_bytes())
    return der.element(_SEQUENCE, content)


def _key_usage(spki: bytes) -> x509.KeyUsage:
    """Return digitalSignature, what TLS 1.2 with (EC)DHE and TLS 1.3 need, and for RSA keyEncipherment.

    NSS 3.87 is reported to refuse an RSA server certificate without keyEncipherment, which BR 7.1.2.7.11 allows.
    """
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=keys.PublicKeyInfo.load(spki).algorithm == "rsa",
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ca_issuers(addresses: Addresses) -> x509.AccessDescription:
    return x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(addresses.ca_issuers_url)
    )


def _distribution_point(addresses: Addresses) -> x509.DistributionPoint:
    return x509.DistributionPoint([x509.UniformResourceIdentifier(addresses.crl_url)], None, None, None)
