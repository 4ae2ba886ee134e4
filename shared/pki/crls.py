"""Certificate revocation lists: which to trust, and whether a certificate of a chain is listed. Fails closed.

A CRL belongs to the issuer whose name it has and whose key verifies it, never to a name alone: sibling sub-CAs share
most of their names, and one's list must neither count for another nor replace a missing one. The CA's certificate does
not matter: a CA renewed with the same key continues its lists.

A delta CRL only adds: certificates on it are revoked, but it clears no certificate, and removes none from a list.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from shared.errors import Refused, Unavailable
from shared.pki.certificates import UNREADABLE, is_strong
from shared.pki.crl_cache import CRLCache
from shared.pki.crl_scope import find_extension, in_scope, scope_name

MAX_BYTES: Final = 16 * 1024 * 1024
# Size of all parsed lists that are cached.
MAX_CACHED_BYTES: Final = 64 * 1024 * 1024
# RFC 5280, 5.2.3: at most 20 octets, of which the first bit is the sign.
_MAX_NUMBER_BITS: Final = 159
_PEM: Final = b"-----BEGIN X509 CRL-----"
# Prefix of a delta list's scope.
DELTA_PREFIX: Final = "delta "
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_LIST_EXTENSIONS: Final = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.DELTA_CRL_INDICATOR,
    }
)
_ENTRY_EXTENSIONS: Final = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})


class CRLRefused(Refused):
    """The CRL is not the issuer's, or not usable now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.extensions = {"reason": reason}


class RevocationUnknown(Unavailable):
    """A certificate of the chain has no usable CRL: the sign-in is refused without blame."""

    reason = "revocation-unknown"


class CertificateListed(Refused):
    """A certificate of the chain is revoked or suspended (certificateHold)."""

    reason = "certificate-listed"

    def __init__(self, *, suspended: bool) -> None:
        super().__init__("suspended" if suspended else "revoked")
        self.suspended = suspended


# Each certificate whose revocation matters, with its issuer.
Links = Iterable[tuple[x509.Certificate, x509.Certificate]]


@dataclass(frozen=True, kw_only=True)
class MaxAges:
    """Limits of a list's age since thisUpdate, whatever its nextUpdate.

    CRLs come over plain http: without a limit, an attacker could present one from before a revocation until it expires.
    e-Cert sub-CAs publish daily. For roots, which rarely revoke, the limit is half a year.
    """

    sub_cas: timedelta = timedelta(days=7)
    roots: timedelta = timedelta(days=190)

    def of(self, issuer: x509.Certificate) -> timedelta:
        """Return the age limit of this issuer's lists."""
        return self.roots if issuer.subject == issuer.issuer else self.sub_cas


DEFAULT_MAX_AGES: Final = MaxAges()


@dataclass(frozen=True, kw_only=True)
class StoredCRL:
    """An accepted CRL, as the database stores it. `issuer_sha256` is the issuer_id."""

    issuer_sha256: str
    scope: str
    number: int
    this_update: datetime
    next_update: datetime
    sha256: str
    der: bytes


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A CRL whose time-independent properties are valid."""

    crl: x509.CertificateRevocationList
    is_delta: bool
    number: int
    this_update: datetime
    next_update: datetime
    scope: x509.IssuingDistributionPoint | None

    @property
    def scope_name(self) -> str:
        """The name of the issuer's list; an issuer's lists are numbered separately."""
        return f"{DELTA_PREFIX}{scope_name(self.scope)}" if self.is_delta else scope_name(self.scope)

    def usable_until(self, issuer: x509.Certificate, ages: MaxAges) -> datetime:
        """Return the time from which the list is no longer used."""
        return min(self.next_update, self.this_update + ages.of(issuer))


def issuer_id(issuer: x509.Certificate) -> str:
    """Return the id of a CA's lists, from name and key: it stays the same when the CA's certificate is renewed."""
    key = issuer.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(issuer.subject.public_bytes() + key).hexdigest()


def as_der(data: bytes) -> bytes:
    """Return a CRL, given as DER or PEM, as DER. Raises CRLRefused."""
    if len(data) > MAX_BYTES:
        raise CRLRefused("crl-too-large")
    if not data.lstrip().startswith(_PEM):
        return data
    try:
        return x509.load_pem_x509_crl(data).public_bytes(serialization.Encoding.DER)
    except UNREADABLE as error:
        raise CRLRefused("crl-unreadable") from error


def issuer_of(der: bytes, issuers: Iterable[x509.Certificate]) -> x509.Certificate:
    """Return the pinned CA whose name and key made this CRL. Raises CRLRefused."""
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


def accept(der: bytes, issuer: x509.Certificate, now: datetime, ages: MaxAges = DEFAULT_MAX_AGES) -> StoredCRL:
    """Return a downloaded CRL if it is this issuer's and current at `now`. Raises CRLRefused.

    The store decides, in one statement, whether it is older than the stored one.
    """
    checked = _checked(der, issuer)
    if not checked.this_update <= now:
        raise CRLRefused("crl-not-yet-valid")
    if not now < checked.next_update:
        raise CRLRefused("crl-outdated")
    if not now < checked.usable_until(issuer, ages):
        raise CRLRefused("crl-too-old")
    return StoredCRL(
        issuer_sha256=issuer_id(issuer),
        scope=checked.scope_name,
        number=checked.number,
        this_update=checked.this_update,
        next_update=checked.next_update,
        sha256=hashlib.sha256(der).hexdigest(),
        der=der,
    )


def usable_until(crl: StoredCRL, issuer: x509.Certificate, ages: MaxAges) -> datetime:
    """Return the time from which an accepted list is no longer used."""
    return _checked(crl.der, issuer).usable_until(issuer, ages)


def check(
    links: Links,
    stored: Mapping[str, Iterable[StoredCRL]],
    now: datetime,
    ages: MaxAges = DEFAULT_MAX_AGES,
) -> tuple[StoredCRL, ...]:
    """Return the CRLs that clear every certificate of a chain, except the anchor.

    `stored` is by the issuer's id. Raises CertificateListed if a certificate is revoked or suspended, else
    RevocationUnknown if there is no usable CRL for one of them.
    """
    used: list[StoredCRL] = []
    unknown = False
    for certificate, issuer in links:
        relevant = _relevant(stored.get(issuer_id(issuer), ()), certificate, issuer)
        covering = [
            (crl, checked)
            for crl, checked in relevant
            if not checked.is_delta and checked.this_update <= now < checked.usable_until(issuer, ages)
        ]
        for _, checked in covering:
            _refuse_if_listed(certificate, checked.crl)
        _refuse_if_added(certificate, [each for _, each in relevant], [each for _, each in covering])
        # RFC 5280, 5.2.6: the newest revocations of a certificate with freshestCRL are elsewhere.
        unknown = unknown or not covering or find_extension(certificate, x509.FreshestCRL) is not None
        used.extend(crl for crl, _ in covering)
    if unknown:
        raise RevocationUnknown
    return tuple(used)


def _relevant(
    stored: Iterable[StoredCRL], certificate: x509.Certificate, issuer: x509.Certificate
) -> list[tuple[StoredCRL, _Checked]]:
    """Return the issuer's lists, including old ones, that cover this certificate."""
    found: list[tuple[StoredCRL, _Checked]] = []
    for crl in stored:
        try:
            checked = _checked(crl.der, issuer)
        except CRLRefused:
            continue
        if in_scope(certificate, checked.scope):
            found.append((crl, checked))
    return found


def _refuse_if_added(certificate: x509.Certificate, lists: Iterable[_Checked], covering: Iterable[_Checked]) -> None:
    """Refuse a certificate on a delta CRL, unless a complete list of the same scope is newer."""
    whole = {scope_name(each.scope): each.number for each in covering}
    for each in lists:
        if each.is_delta and each.number > whole.get(scope_name(each.scope), -1):
            _refuse_if_listed(certificate, each.crl, but=x509.ReasonFlags.remove_from_crl)


def _refuse_if_listed(
    certificate: x509.Certificate, crl: x509.CertificateRevocationList, but: x509.ReasonFlags | None = None
) -> None:
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return
    stated = find_extension(entry, x509.CRLReason)
    if stated is None or stated.reason is not but:
        raise CertificateListed(suspended=stated is not None and stated.reason is x509.ReasonFlags.certificate_hold)


_CACHE: Final = CRLCache[_Checked](MAX_CACHED_BYTES)


def _checked(der: bytes, issuer: x509.Certificate) -> _Checked:
    """Check the time-independent properties of a CRL: issuer, key, signature, extensions, scope."""
    key = (hashlib.sha256(der).digest(), issuer.fingerprint(hashes.SHA256()))
    found = _CACHE.get(key)
    if found is None:
        try:
            found = _check(x509.load_der_x509_crl(der), issuer)
        except UNREADABLE as error:
            raise CRLRefused("crl-unreadable") from error
        _CACHE.put(key, len(der), found)
    return found


def _check(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> _Checked:
    if crl.issuer.public_bytes() != issuer.subject.public_bytes():
        raise CRLRefused("crl-of-unknown-issuer")
    _check_authority(crl, issuer)
    _check_signature(crl, issuer)
    _check_extensions(crl)
    next_update = crl.next_update_utc
    if next_update is None:
        raise CRLRefused("crl-without-next-update")
    number = find_extension(crl, x509.CRLNumber)
    if number is None:
        raise CRLRefused("crl-without-number")
    if number.crl_number < 0 or number.crl_number.bit_length() > _MAX_NUMBER_BITS:
        raise CRLRefused("crl-number-too-long")
    scope = find_extension(crl, x509.IssuingDistributionPoint)
    if scope is not None and (
        scope.indirect_crl
        or scope.only_contains_attribute_certs
        or scope.only_some_reasons
        or scope.relative_name is not None
    ):
        raise CRLRefused("crl-scope")
    return _Checked(
        crl=crl,
        is_delta=find_extension(crl, x509.DeltaCRLIndicator) is not None,
        number=number.crl_number,
        this_update=crl.last_update_utc,
        next_update=next_update,
        scope=scope,
    )


def _check_authority(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    """Check the key identifier, which distinguishes issuers of one name."""
    authority = find_extension(crl, x509.AuthorityKeyIdentifier)
    subject_key = find_extension(issuer, x509.SubjectKeyIdentifier)
    if authority is None or subject_key is None or authority.key_identifier != subject_key.digest:
        raise CRLRefused("crl-of-unknown-issuer")


def _check_signature(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    usage = find_extension(issuer, x509.KeyUsage)
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
        # The list is incomplete, and the rest is not fetched.
        if extension.oid == ExtensionOID.FRESHEST_CRL:
            raise CRLRefused("crl-with-deltas")
        if extension.critical and extension.oid not in _LIST_EXTENSIONS:
            raise CRLRefused("crl-unknown-critical-extension")
    for entry in crl:
        for extension in entry.extensions:
            if extension.critical and extension.oid not in _ENTRY_EXTENSIONS:
                raise CRLRefused("crl-unknown-critical-extension")
