"""Requirements for pinned CAs.

The library that validates the path processes no policies and ignores extensions that are not critical. So a CA whose
certificate limits what it may issue is never half-enforced: identity refuses to start with it.
"""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from services.identity.certificates import CRITICAL_AND_CHECKED, Trust, extension_of, policies_of
from shared.errors import Refused
from shared.pki.certificates import UNREADABLE, is_strong
from shared.pki.crls import issuer_id

# Each of them, critical or not, limits what the CA may issue, or means that its CRLs are incomplete.
_CONSTRAINTS: Final = {
    ExtensionOID.NAME_CONSTRAINTS: "name constraints",
    ExtensionOID.POLICY_MAPPINGS: "policy mappings",
    ExtensionOID.POLICY_CONSTRAINTS: "policy constraints",
    ExtensionOID.INHIBIT_ANY_POLICY: "inhibitAnyPolicy",
    ExtensionOID.FRESHEST_CRL: "delta CRLs (freshestCRL)",
}


class PinRefused(Refused):
    """The CA must not be pinned."""

    reason = "ca-not-pinnable"


def check(trust: Trust) -> None:
    """Check the pinned CAs, each one and all together. Raises PinRefused."""
    for anchor in trust.anchors:
        if anchor.subject != anchor.issuer:
            raise _refused(anchor, "is not a root certificate")
        _check_extensions(anchor)
    for sub_ca in trust.sub_cas:
        _check_extensions(sub_ca)
        _check_purposes(sub_ca, trust)
        if not policies_of(sub_ca):
            raise _refused(sub_ca, "states no certificate policy, so nothing it issues has one")
    plain = {issuer_id(each) for each in trust.intermediates}
    for sub_ca in trust.mutual_recognition:
        if issuer_id(sub_ca) in plain:
            raise _refused(sub_ca, "is pinned with mutual recognition and without")


def _check_extensions(ca: x509.Certificate) -> None:
    try:
        extensions = list(ca.extensions)
        strong = is_strong(ca)
    except UNREADABLE as error:
        raise _refused(ca, f"cannot be read: {error}") from error
    for extension in extensions:
        if extension.oid in _CONSTRAINTS:
            raise _refused(ca, f"has {_CONSTRAINTS[extension.oid]}, which are not processed")
        if extension.critical and extension.oid not in CRITICAL_AND_CHECKED:
            raise _refused(ca, f"has the critical extension {extension.oid.dotted_string}, which is not processed")
    if not strong:
        raise _refused(ca, "has a weak key")


def _check_purposes(ca: x509.Certificate, trust: Trust) -> None:
    """Check the extended key usages of a sub-CA, which limit what it issues, as in browsers."""
    stated = extension_of(ca, x509.ExtendedKeyUsage)
    if stated is not None and (trust.purposes | {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}).isdisjoint(stated):
        raise _refused(ca, "has extended key usages without one that is accepted of e-Certs")


def _refused(ca: x509.Certificate, why: str) -> PinRefused:
    name = ca.subject.rfc4514_string()
    return PinRefused(f"{name} (serial {ca.serial_number:x}) {why}")
