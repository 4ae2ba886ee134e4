"""Scope of a certificate revocation list (RFC 5280, 5.2.5): the certificates that it covers."""

from collections.abc import Iterable
from typing import TypeVar

from cryptography import x509

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


def find_extension(
    holder: x509.CertificateRevocationList | x509.RevokedCertificate | x509.Certificate, kind: type[_Kind]
) -> _Kind | None:
    """Return the extension of this kind, or None."""
    try:
        return holder.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def in_scope(certificate: x509.Certificate, scope: x509.IssuingDistributionPoint | None) -> bool:
    """Return whether the list covers this certificate (RFC 5280, 6.3.3 (b)(2))."""
    if scope is None:
        return True
    is_ca = _is_ca(certificate)
    if (scope.only_contains_user_certs and is_ca) or (scope.only_contains_ca_certs and not is_ca):
        return False
    return scope.full_name is None or bool(_locations(scope.full_name) & _distribution_points(certificate))


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _locations(names: Iterable[x509.GeneralName]) -> set[str]:
    return {name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)}


def _distribution_points(certificate: x509.Certificate) -> set[str]:
    points = find_extension(certificate, x509.CRLDistributionPoints) or ()
    # A point with cRLIssuer or reasons does not stand for a complete list of the certificate's own issuer.
    whole = (point for point in points if point.crl_issuer is None and point.reasons is None)
    return {location for point in whole for location in _locations(point.full_name or ())}


def scope_name(scope: x509.IssuingDistributionPoint | None) -> str:
    """Return a name that two lists share if and only if they have the same scope."""
    if scope is None:
        return "all"
    kind = "users" if scope.only_contains_user_certs else "cas" if scope.only_contains_ca_certs else "all"
    return " ".join([kind, *sorted(_locations(scope.full_name or ()))])
