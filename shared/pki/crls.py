"""Certificate revocation lists: which to believe, and whether a chain stands in one. Fail closed.

A CRL belongs to the one issuer whose key verifies it, never to a name alone: sibling sub-CAs share most of
their names, and one's list must neither speak for another nor stand in for a missing one.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from shared.errors import Refused, Unavailable
from shared.pki.certificates import UNREADABLE, is_strong, sha256

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

MAX_BYTES: Final = 16 * 1024 * 1024
_PEM: Final = b"-----BEGIN X509 CRL-----"
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_LIST_EXTENSIONS: Final = frozenset(
    {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER, ExtensionOID.ISSUING_DISTRIBUTION_POINT}
)
_ENTRY_EXTENSIONS: Final = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})


class CRLRefused(Refused):
    """This CRL is not the issuer's, or not usable now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.extensions = {"reason": reason}


class RevocationUnknown(Unavailable):
    """No usable CRL for a certificate of the chain: nobody is let in, and nobody is accused."""

    reason = "revocation-unknown"


class CertificateListed(Refused):
    """A certificate of the chain was revoked, or is suspended for now."""

    reason = "certificate-listed"

    def __init__(self, *, suspended: bool) -> None:
        super().__init__("suspended" if suspended else "revoked")
        self.suspended = suspended


# Each certificate whose revocation matters, with its issuer.
Links = Iterable[tuple[x509.Certificate, x509.Certificate]]


@dataclass(frozen=True, kw_only=True)
class StoredCRL:
    """A CRL that was accepted, as the database keeps it."""

    issuer_sha256: str
    scope: str
    number: int
    this_update: datetime
    next_update: datetime
    sha256: str
    der: bytes


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A CRL whose every timeless property is sound."""

    crl: x509.CertificateRevocationList
    number: int
    this_update: datetime
    next_update: datetime
    scope: x509.IssuingDistributionPoint | None


def as_der(data: bytes) -> bytes:
    """The DER of a CRL in DER or PEM; raise CRLRefused."""
    if len(data) > MAX_BYTES:
        raise CRLRefused("crl-too-large")
    if not data.lstrip().startswith(_PEM):
        return data
    try:
        return x509.load_pem_x509_crl(data).public_bytes(serialization.Encoding.DER)
    except UNREADABLE as error:
        raise CRLRefused("crl-unreadable") from error


def issuer_of(der: bytes, issuers: Iterable[x509.Certificate]) -> x509.Certificate:
    """The one CA of ours whose name and key made this CRL; raise CRLRefused."""
    reason = "crl-of-unknown-issuer"
    for issuer in issuers:
        try:
            _checked(der, issuer)
        except CRLRefused as error:
            if error.reason != "crl-of-unknown-issuer":
                reason = error.reason
        else:
            return issuer
    raise CRLRefused(reason)


def accept(der: bytes, issuer: x509.Certificate, now: datetime) -> StoredCRL:
    """A fetched CRL, if it is this issuer's and current at `now`; raise CRLRefused.

    Whether it goes back behind one we hold is for the store to say, in one statement.
    """
    checked = _checked(der, issuer)
    if not checked.this_update <= now:
        raise CRLRefused("crl-not-yet-valid")
    if not now < checked.next_update:
        raise CRLRefused("crl-outdated")
    return StoredCRL(
        issuer_sha256=sha256(issuer),
        scope=_scope_name(checked.scope),
        number=checked.number,
        this_update=checked.this_update,
        next_update=checked.next_update,
        sha256=hashlib.sha256(der).hexdigest(),
        der=der,
    )


def check(links: Links, stored: Mapping[str, Iterable[StoredCRL]], now: datetime) -> tuple[StoredCRL, ...]:
    """The CRLs that clear every certificate of a chain, the anchor aside.

    `stored` is by the issuer's SHA-256. Raises CertificateListed if one is revoked or suspended, else
    RevocationUnknown if for one there is no usable CRL.
    """
    used: list[StoredCRL] = []
    unknown = False
    for certificate, issuer in links:
        covering = [crl for crl in stored.get(sha256(issuer), ()) if _covers(crl, certificate, issuer, now)]
        for crl in covering:
            _refuse_if_listed(certificate, _checked(crl.der, issuer).crl)
        unknown = unknown or not covering
        used.extend(covering)
    if unknown:
        raise RevocationUnknown
    return tuple(used)


def _covers(stored: StoredCRL, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    try:
        checked = _checked(stored.der, issuer)
    except CRLRefused:
        return False
    return checked.this_update <= now < checked.next_update and _in_scope(certificate, checked.scope)


def _refuse_if_listed(certificate: x509.Certificate, crl: x509.CertificateRevocationList) -> None:
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return
    stated = _extension(entry, x509.CRLReason)
    raise CertificateListed(suspended=stated is not None and stated.reason is x509.ReasonFlags.certificate_hold)


@functools.lru_cache(maxsize=64)
def _checked(der: bytes, issuer: x509.Certificate) -> _Checked:
    """Everything about a CRL that time does not change: issuer, key, signature, extensions, scope."""
    try:
        crl = x509.load_der_x509_crl(der)
        return _check(crl, issuer)
    except UNREADABLE as error:
        raise CRLRefused("crl-unreadable") from error


def _check(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> _Checked:
    if crl.issuer.public_bytes() != issuer.subject.public_bytes():
        raise CRLRefused("crl-of-unknown-issuer")
    _check_authority(crl, issuer)
    _check_signature(crl, issuer)
    _check_extensions(crl)
    next_update = crl.next_update_utc
    if next_update is None:
        raise CRLRefused("crl-without-next-update")
    number = _extension(crl, x509.CRLNumber)
    if number is None:
        raise CRLRefused("crl-without-number")
    scope = _extension(crl, x509.IssuingDistributionPoint)
    if scope is not None and (
        scope.indirect_crl
        or scope.only_contains_attribute_certs
        or scope.only_some_reasons
        or scope.relative_name is not None
    ):
        raise CRLRefused("crl-scope")
    return _Checked(
        crl=crl,
        number=number.crl_number,
        this_update=crl.last_update_utc,
        next_update=next_update,
        scope=scope,
    )


def _check_authority(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    """Issuers of one name are told apart by their key identifier."""
    authority = _extension(crl, x509.AuthorityKeyIdentifier)
    subject_key = _extension(issuer, x509.SubjectKeyIdentifier)
    if authority is None or subject_key is None or authority.key_identifier != subject_key.digest:
        raise CRLRefused("crl-of-unknown-issuer")


def _check_signature(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    usage = _extension(issuer, x509.KeyUsage)
    if usage is None or not usage.crl_sign:
        raise CRLRefused("crl-issuer-may-not-sign")
    key = issuer.public_key()
    if not is_strong(issuer) or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise CRLRefused("crl-weak-key")
    if not isinstance(crl.signature_hash_algorithm, _HASHES):
        raise CRLRefused("crl-signature")
    if not crl.is_signature_valid(key):
        raise CRLRefused("crl-signature")


def _check_extensions(crl: x509.CertificateRevocationList) -> None:
    for extension in crl.extensions:
        # A delta list is no list of its own, whether or not it says so critically.
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise CRLRefused("crl-delta")
        if extension.critical and extension.oid not in _LIST_EXTENSIONS:
            raise CRLRefused("crl-unknown-critical-extension")
    for entry in crl:
        for extension in entry.extensions:
            if extension.critical and extension.oid not in _ENTRY_EXTENSIONS:
                raise CRLRefused("crl-unknown-critical-extension")


def _extension(
    holder: x509.CertificateRevocationList | x509.RevokedCertificate | x509.Certificate, kind: type[_Kind]
) -> _Kind | None:
    try:
        return holder.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _in_scope(certificate: x509.Certificate, scope: x509.IssuingDistributionPoint | None) -> bool:
    """RFC 5280 6.3.3 (b)(2): the list speaks of this certificate."""
    if scope is None:
        return True
    is_ca = _is_ca(certificate)
    if (scope.only_contains_user_certs and is_ca) or (scope.only_contains_ca_certs and not is_ca):
        return False
    return scope.full_name is None or bool(_locations(scope.full_name) & _distribution_points(certificate))


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _locations(names: Iterable[x509.GeneralName]) -> set[str]:
    return {name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)}


def _distribution_points(certificate: x509.Certificate) -> set[str]:
    points = _extension(certificate, x509.CRLDistributionPoints) or ()
    # A point with cRLIssuer or reasons is not about a whole list by the certificate's own issuer.
    whole = (point for point in points if point.crl_issuer is None and point.reasons is None)
    return {location for point in whole for location in _locations(point.full_name or ())}


def _scope_name(scope: x509.IssuingDistributionPoint | None) -> str:
    """One name per list that an issuer keeps beside its others; their numbers count separately."""
    if scope is None:
        return "all"
    kind = "users" if scope.only_contains_user_certs else "cas" if scope.only_contains_ca_certs else "all"
    return " ".join([kind, *sorted(_locations(scope.full_name or ()))])
