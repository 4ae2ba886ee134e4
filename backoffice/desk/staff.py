"""Authentication of staff: validates the client certificate from the gateway again, and finds the member of staff.

Staff have a CA of their own, which is pinned: no certificate of a subscriber or of another system is accepted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from backoffice.desk.roles import Role
from shared import audit
from shared.db import Conn
from shared.errors import Refused, Unavailable
from shared.pki import crls
from shared.pki.certificates import UNREADABLE, is_strong, sha256
from shared.tx import Tx
from shared.web import client_certificate

# One spelling only: with two spellings one person could pass for two in four-eyes approval.
_NUMBER: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,30}[A-Z0-9])?")
MAX_CRL_BYTES: Final = 1024 * 1024
_CHECKED: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
    }
)


class Fault(StrEnum):
    """Reasons for refusing a sign-in; each has its own text on the page."""

    NO_CERTIFICATE = "no-certificate"
    MALFORMED = "certificate-malformed"
    UNTRUSTED = "certificate-untrusted"
    EXPIRED = "certificate-expired"
    REVOKED = "certificate-revoked"
    NO_ROLE = "no-role"


class StaffNumberRefused(Refused):
    """The text is no staff number."""

    reason = "staff-number-refused"


class StaffRefused(Refused):
    """The caller is not a member of staff with access to the desk."""

    def __init__(self, fault: Fault, holder: "Holder | None" = None) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.holder = holder


class RevocationUnknown(Unavailable):
    """The staff CA's CRL is missing, outdated or not its own: every sign-in is refused."""

    reason = "revocation-unknown"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The pinned staff CA, and the file with its current CRL."""

    issuer: x509.Certificate
    crl_file: Path


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The person whom a valid certificate names."""

    staff_id: str
    name: str
    certificate_sha256: str


@dataclass(frozen=True, kw_only=True)
class Member:
    """A signed-in member of staff."""

    id: str
    name: str
    roles: frozenset[Role]
    certificate_sha256: str


def holder_of(header: str | None, trust: Trust, now: datetime) -> Holder:
    """Return the holder of the certificate in the gateway's header. Raises StaffRefused or RevocationUnknown."""
    try:
        der = client_certificate.parse(header)
    except client_certificate.ClientCertificateMissing as missing:
        raise StaffRefused(Fault.NO_CERTIFICATE) from missing
    except client_certificate.ClientCertificateMalformed as malformed:
        raise StaffRefused(Fault.MALFORMED) from malformed
    try:
        certificate = x509.load_der_x509_certificate(der)
        _check(certificate, trust, now)
        holder = _named(certificate)
    except UNREADABLE as error:
        raise StaffRefused(Fault.MALFORMED) from error
    _check_revocation(certificate, holder, trust, now)
    return holder


def _check(certificate: x509.Certificate, trust: Trust, now: datetime) -> None:
    try:
        certificate.verify_directly_issued_by(trust.issuer)
    except (InvalidSignature, *UNREADABLE) as error:
        raise StaffRefused(Fault.UNTRUSTED) from error
    for each in (certificate, trust.issuer):
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            raise StaffRefused(Fault.EXPIRED)
    extensions = certificate.extensions
    unknown = [each for each in extensions if each.critical and each.oid not in _CHECKED]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    for_clients = usage.digital_signature and list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    if unknown or constraints.ca or not for_clients or not is_strong(certificate):
        raise StaffRefused(Fault.UNTRUSTED)


def is_number(text: str) -> bool:
    """Return whether the text is a staff number in its only spelling: capitals, digits, and hyphens inside."""
    return _NUMBER.fullmatch(text) is not None


def _named(certificate: x509.Certificate) -> Holder:
    numbers = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(numbers) != 1 or len(names) != 1 or not is_number(str(numbers[0].value)):
        raise StaffRefused(Fault.UNTRUSTED)
    return Holder(staff_id=str(numbers[0].value), name=str(names[0].value), certificate_sha256=sha256(certificate))


def _check_revocation(certificate: x509.Certificate, holder: Holder, trust: Trust, now: datetime) -> None:
    """Check the certificate against the CRL, which is read for each request: a revocation counts once the file is
    replaced.
    """
    try:
        with trust.crl_file.open("rb") as file:
            crl = crls.accept(crls.as_der(file.read(MAX_CRL_BYTES)), trust.issuer, now)
        crls.check([(certificate, trust.issuer)], {crl.issuer_sha256: [crl]}, now)
    except crls.CertificateListed as listed:
        raise StaffRefused(Fault.REVOKED, holder) from listed
    except (OSError, crls.CRLRefused, crls.RevocationUnknown) as error:
        raise RevocationUnknown(str(error)) from error


def find_member(conn: Conn, holder: Holder) -> Member:
    """Return the member of staff. Raises StaffRefused for a person without a role."""
    row = conn.execute("SELECT name, roles FROM staff WHERE id = %s", (holder.staff_id,)).fetchone()
    roles = frozenset(Role(role) for role in row[1]) if row else frozenset()
    if row is None or not roles:
        raise StaffRefused(Fault.NO_ROLE, holder)
    return Member(id=holder.staff_id, name=row[0], roles=roles, certificate_sha256=holder.certificate_sha256)


def assign(tx: Tx, staff_id: str, name: str, roles: Iterable[Role], *, actor: str) -> None:
    """Set the roles of a member of staff; without a role the access ends.

    Raises StaffNumberRefused.
    """
    if not is_number(staff_id):
        raise StaffNumberRefused(f"{staff_id!r} is no staff number: capitals, digits, and hyphens inside")
    given = sorted(set(roles))
    tx.conn.execute(
        """INSERT INTO staff (id, name, roles, changed_at, changed_by) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, roles = EXCLUDED.roles,
               changed_at = EXCLUDED.changed_at, changed_by = EXCLUDED.changed_by""",
        (staff_id, name, given, tx.now, actor),
    )
    details: dict[str, audit.Detail] = {"name": name, "roles": [str(role) for role in given]}
    audit.record(tx, actor=actor, action="roles-assigned", subject=staff_id, details=details)
