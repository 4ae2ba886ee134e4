"""Stray certificates: what our key signed and no order has, kept so that it can be revoked and is on the CRL."""

from dataclasses import replace
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.issuance import store, stray_store
from services.issuance.ca.crl import GRAVITY, RevocationReason
from services.issuance.domain import StrayCertificate
from services.issuance.refusals import CertificateExpired, CertificateNotFound
from shared import audit
from shared.tx import Tx


def stray_of(tx: Tx, der: bytes, *, origin: str) -> StrayCertificate:
    """Return the row of a certificate or precertificate; its serial number is the one in its bytes."""
    parsed = x509.load_der_x509_certificate(der)
    spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return StrayCertificate(
        serial=f"{parsed.serial_number:x}",
        der=der,
        sha256=sha256(der).digest(),
        spki_sha256=sha256(spki).digest(),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        origin=origin,
        added_at=tx.now,
    )


def revoke_precertificate(tx: Tx, der: bytes, actor: str, *, reason: RevocationReason | None = None) -> None:
    """Keep the precertificate of an ended intent, and revoke it: for a compromised key if that is blocked.

    Its signature is empty if a crash may have lost it. Repeated, nothing changes, but a signature that has come
    meanwhile is stored. A precertificate counts as a certificate (BR 7.1.2.9), and logs may show it to everybody.
    """
    stray = stray_of(tx, der, origin="intent-ended")
    if store.is_blocked(tx.conn, stray.spki_sha256):
        reason = RevocationReason.KEY_COMPROMISE
    reason = reason or RevocationReason.UNSPECIFIED
    if stray_store.add_stray(tx.conn, replace(stray, revoked_at=tx.now, revocation_reason=reason.value)):
        details = {"reason": reason.value, "precertificate_sha256": stray.sha256.hex()}
        audit.record(tx, actor=actor, action="precertificate-revoked", subject=stray.serial, details=details)
    else:
        stray_store.save_signature(tx.conn, stray)


def revoke_stray(tx: Tx, serial: str, reason: RevocationReason, actor: str) -> bool:
    """Revoke a stray, or replace its reason by a graver one. Returns False if nothing changes.

    Raises CertificateNotFound or CertificateExpired.
    """
    stray = stray_store.lock_stray(tx.conn, serial)
    if stray is None:
        raise CertificateNotFound("there is no certificate with this serial number")
    if stray.revoked_at is None and stray.not_after < tx.now:
        raise CertificateExpired("the certificate has expired")
    if stray.revocation_reason and GRAVITY[reason] <= GRAVITY[RevocationReason(stray.revocation_reason)]:
        return False
    stray_store.save_stray_revoked(tx.conn, serial, reason, stray.revoked_at or tx.now)
    details = {"reason": reason.value, "was": stray.revocation_reason}
    audit.record(tx, actor=actor, action="certificate-revoked", subject=serial, details=details)
    return True
