"""Validation of an e-Cert (Organisational): path, policy, key and use. For revocation see revocation.py.

Only pinned anchors and our own intermediates are used: certificates sent by a client are ignored. cryptography's
ClientVerifier builds the path (signatures, validity, basicConstraints, name constraints). It processes no policies,
accepts a CA certificate as a leaf under our leaf policy, ignores nonRepudiation and the leaf's key size, and tolerates
a fraction of a second: these checks are made here.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from services.identity import subjects
from services.identity.der import NotDER
from services.identity.refusals import CertificateFault, CertificateRefused
from shared.pki.certificates import UNREADABLE, is_strong
from shared.pki.crls import DEFAULT_MAX_AGES, MaxAges

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

MAX_CHAIN_DEPTH: Final = 3
CRITICAL_AND_CHECKED: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    }
)
ANY_POLICY: Final = x509.ObjectIdentifier("2.5.29.32.0")
# Certificate policies of the Hong Kong and Guangdong arrangement, followed by year, version and release.
_MUTUAL_RECOGNITION: Final = "2.16.344.8.2.2008.810.2."
# The CA's names for classes in the subject; used for a better reason only, never to accept a certificate.
_OTHER_CLASSES: Final[Mapping[str, CertificateFault]] = {
    "(personal)": CertificateFault.PERSONAL,
    "(encipherment)": CertificateFault.ENCIPHERMENT,
}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The pinned anchors, our own copies of the sub-CAs, and the requirements of an e-Cert.

    The sub-CAs of `mutual_recognition` issue other kinds, too: their e-Certs need a policy of their own. An e-Cert with
    extended key usages needs one of `purposes`.
    """

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...]
    policies: frozenset[x509.ObjectIdentifier]
    mutual_recognition: tuple[x509.Certificate, ...] = ()
    require_non_repudiation: bool = True
    purposes: frozenset[x509.ObjectIdentifier] = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})
    crl_ages: MaxAges = DEFAULT_MAX_AGES

    @property
    def sub_cas(self) -> tuple[x509.Certificate, ...]:
        """All sub-CAs, of either kind."""
        return self.intermediates + self.mutual_recognition

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """All CAs whose CRLs may be needed."""
        return self.anchors + self.sub_cas


@dataclass(frozen=True, kw_only=True)
class Chain:
    """An accepted e-Cert and its path; `issuers` ends with the anchor."""

    leaf: x509.Certificate
    issuers: tuple[x509.Certificate, ...]

    @property
    def links(self) -> tuple[tuple[x509.Certificate, x509.Certificate], ...]:
        """Each certificate whose revocation matters, with its issuer. The anchor is pinned, so it is not included."""
        return tuple(zip((self.leaf, *self.issuers[:-1]), self.issuers, strict=True))

    def as_der(self) -> list[bytes]:
        """Return all certificates of the chain, the leaf first."""
        return [each.public_bytes(serialization.Encoding.DER) for each in (self.leaf, *self.issuers)]


def read(data: bytes) -> x509.Certificate:
    """Parse a certificate including its lazily parsed parts. Raises CertificateRefused.

    Every certificate from outside passes through here: later accesses to these parts raise nothing.
    """
    try:
        certificate = x509.load_der_x509_certificate(data)
        certificate.public_key()
        _ = (certificate.extensions, certificate.issuer, certificate.signature_hash_algorithm)
        # A year that datetime does not support raises at the first access.
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        organisation_names(certificate)
    except (NotDER, *UNREADABLE) as error:
        raise CertificateRefused(_why_unreadable(data)) from error
    if certificate.serial_number <= 0:
        raise CertificateRefused(CertificateFault.UNREADABLE)
    return certificate


def _why_unreadable(data: bytes) -> CertificateFault:
    """Return the fault of an unreadable certificate; a wrongly encoded name is distinguished, since its holder can act
    on it.
    """
    with contextlib.suppress(NotDER):
        if subjects.has_wrong_characters(data):
            return CertificateFault.NAME_ENCODING
    return CertificateFault.UNREADABLE


def validate(certificate: x509.Certificate, trust: Trust, now: datetime) -> tuple[Chain, ...]:
    """Return every chain under which this e-Cert is valid at `now`. Raises CertificateRefused with the reason.

    CRLs are checked later for each chain: one certificate of a renewed sub-CA may be revoked, another not.
    """
    check_validity(certificate, now)
    check_class(certificate, trust)
    check_key(certificate, trust)
    return check_policies(find_chains(certificate, trust, now), trust)


def find_chains(certificate: x509.Certificate, trust: Trust, now: datetime) -> tuple[Chain, ...]:
    """Return every chain of pinned CAs, all valid at `now`, that issued the certificate. Raises CertificateRefused."""
    found = tuple(
        Chain(leaf=certificate, issuers=issuers)
        for issuers in _candidates(certificate, trust)
        if all(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in issuers)
        and _verifies(certificate, issuers, now)
    )
    if not found:
        raise CertificateRefused(CertificateFault.UNTRUSTED)
    return found


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether this CA's name and key made the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (TypeError, *UNREADABLE):
        return False
    return True


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    """Check the certificate's period of validity. Raises CertificateRefused."""
    if now < certificate.not_valid_before_utc:
        raise CertificateRefused(CertificateFault.NOT_YET_VALID)
    if now > certificate.not_valid_after_utc:
        raise CertificateRefused(CertificateFault.EXPIRED)


def check_key(certificate: x509.Certificate, trust: Trust) -> None:
    """Check that the key is strong enough and permitted to sign. Raises CertificateRefused."""
    if not is_strong(certificate):
        raise CertificateRefused(CertificateFault.WEAK_KEY)
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise CertificateRefused(CertificateFault.IS_CA)
    usage = extension_of(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise CertificateRefused(CertificateFault.KEY_USAGE)
    if trust.require_non_repudiation and not usage.content_commitment:
        raise CertificateRefused(CertificateFault.KEY_USAGE)
    extended = extension_of(certificate, x509.ExtendedKeyUsage)
    if extended is not None and trust.purposes.isdisjoint(extended):
        raise CertificateRefused(CertificateFault.EXTENDED_KEY_USAGE)
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in CRITICAL_AND_CHECKED:
            raise CertificateRefused(CertificateFault.UNKNOWN_CRITICAL_EXTENSION)


def check_class(certificate: x509.Certificate, trust: Trust) -> None:
    """Check that the certificate is an e-Cert (Organisational). Raises CertificateRefused.

    The same sub-CA also issues Personal and Encipherment certificates.
    """
    named = " ".join(organisation_names(certificate)).casefold()
    for words, fault in _OTHER_CLASSES.items():
        if words in named:
            raise CertificateRefused(fault)
    if not policies_of(certificate) & trust.policies:
        raise CertificateRefused(CertificateFault.NOT_ORGANISATIONAL)


def check_policies(chains: tuple[Chain, ...], trust: Trust) -> tuple[Chain, ...]:
    """Return the chains that permit the e-Cert's policy. Raises CertificateRefused if none does."""
    allowed: list[Chain] = []
    refused: list[CertificateRefused] = []
    for chain in chains:
        try:
            _check_policy(chain, trust)
        except CertificateRefused as error:
            refused.append(error)
        else:
            allowed.append(chain)
    if not allowed:
        raise refused[0]
    return tuple(allowed)


def _check_policy(chain: Chain, trust: Trust) -> None:
    """Check the policies along one chain (RFC 5280 6.1): a sub-CA can issue only under its own policies.

    pinned.py refuses sub-CAs that map or inhibit policies. An anchor may have none. Raises CertificateRefused, also for
    a certificate of a Mutual Recognition sub-CA without that policy.
    """
    accepted = policies_of(chain.leaf) & trust.policies
    for issuer in chain.issuers:
        stated = policies_of(issuer)
        if ANY_POLICY not in stated and (stated or issuer != chain.issuers[-1]):
            accepted &= stated
    if not accepted:
        raise CertificateRefused(CertificateFault.NOT_ORGANISATIONAL)
    if chain.issuers[0] in trust.mutual_recognition and not _is_mutual_recognition(chain.leaf):
        raise CertificateRefused(CertificateFault.NOT_MUTUAL_RECOGNITION)


def _is_mutual_recognition(certificate: x509.Certificate) -> bool:
    return any(policy.dotted_string.startswith(_MUTUAL_RECOGNITION) for policy in policies_of(certificate))


def _candidates(certificate: x509.Certificate, trust: Trust) -> Iterator[tuple[x509.Certificate, ...]]:
    """Yield every path to an anchor by name only; all CAs are ours, so clients cannot make it long."""

    def climb(below: x509.Certificate, path: tuple[x509.Certificate, ...]) -> Iterator[tuple[x509.Certificate, ...]]:
        yield from ((*path, anchor) for anchor in trust.anchors if anchor.subject == below.issuer)
        if len(path) < MAX_CHAIN_DEPTH:
            for issuer in trust.sub_cas:
                if issuer.subject == below.issuer and issuer not in path:
                    yield from climb(issuer, (*path, issuer))

    return climb(certificate, ())


def _verifies(certificate: x509.Certificate, issuers: tuple[x509.Certificate, ...], now: datetime) -> bool:
    """Return whether exactly these CAs issued the certificate, as the library validates it."""
    verifier = (
        PolicyBuilder()
        .store(Store([issuers[-1]]))
        .time(now)
        .max_chain_depth(MAX_CHAIN_DEPTH)
        .extension_policies(
            # pinned.py has checked the policies and purposes of our own sub-CAs.
            ca_policy=ExtensionPolicy.webpki_defaults_ca()
            .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
            .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None),
            # No requirements for the leaf here: check_key and check_class have them, with a reason for each case.
            ee_policy=ExtensionPolicy.permit_all()
            .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
            .may_be_present(x509.CRLDistributionPoints, Criticality.AGNOSTIC, None),
        )
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(certificate, list(issuers[:-1])).chain[1:]) == issuers
    except (VerificationError, *UNREADABLE):
        return False


def extension_of(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def policies_of(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    stated = extension_of(certificate, x509.CertificatePolicies)
    return frozenset(each.policy_identifier for each in stated) if stated else frozenset()


def organisation_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return every O and OU of the subject, in every possible decoding.

    Their order varies, so readers go by content.
    """
    return subjects.values(certificate, subjects.ORGANISATION, subjects.UNIT)


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name of a holder or a CA."""
    return next(iter(subjects.values(certificate, subjects.COMMON_NAME)), None) or subjects.describe(certificate)
