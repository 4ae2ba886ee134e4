"""Acceptance and revocation of certificates, and keys that must never be certified again."""

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance import certificate_store, ended_intents, store, stray_certificates, stray_store
from services.issuance.ca.crl import GRAVITY, RevocationReason
from services.issuance.domain import Certificate, Order, OrderState, RevokedBy, StrayCertificate
from services.issuance.refusals import CertificateExpired, CertificateNotFound, InvalidTransition, OrderNotFound
from shared import audit
from shared.db import Conn
from shared.events.issuance import CertificateAccepted, CertificateRevoked
from shared.messaging import outbox
from shared.tx import Tx
from shared.vocabulary import ItemId
from shared.web.auth import Caller


def find_own_order(conn: Conn, item_id: ItemId, caller: Caller) -> Order:
    """Return an order of the caller's subscriber. Raises OrderNotFound.

    Any AR of the subscriber may revoke: the one who signed may have left.
    """
    order = store.find_order(conn, item_id)
    renewal = store.find_renewal(conn, order.renewal_id) if order else None
    if order is None or renewal is None or renewal.subscriber_id != caller.subscriber_id:
        raise OrderNotFound("there is no such order")
    return order


def find_certificate(conn: Conn, order: Order) -> Certificate:
    """Return the order's certificate. Raises CertificateNotFound."""
    certificate = certificate_store.find_certificates(conn, [order.item_id]).get(order.item_id)
    if certificate is None:
        raise CertificateNotFound("no certificate has been issued yet")
    return certificate


def _lock_own(tx: Tx, item_id: ItemId, caller: Caller) -> tuple[Order, Certificate]:
    store.lock_gate(tx.conn, find_own_order(tx.conn, item_id, caller).renewal_id)
    order = store.lock_order(tx.conn, item_id)
    assert order is not None
    return order, find_certificate(tx.conn, order)


def accept(tx: Tx, item_id: ItemId, caller: Caller) -> Certificate:
    """Record the AR's acceptance of content and publication. Accepting twice changes nothing."""
    order, certificate = _lock_own(tx, item_id, caller)
    if order.state is OrderState.ACCEPTED:
        return certificate
    if certificate.revoked_at is not None:
        raise InvalidTransition("the certificate is revoked")
    store.save_order(tx.conn, order.after(CertificateAccepted))
    certificate_store.save_accepted(tx.conn, certificate.serial, tx.now)
    outbox.add(
        tx,
        CertificateAccepted(
            renewal_id=order.renewal_id, item_id=item_id, serial=certificate.serial, accepted_at=tx.now
        ),
    )
    audit.record(tx, actor=caller.ar_id, action="certificate-accepted", subject=certificate.serial)
    return replace(certificate, accepted_at=tx.now)


def revoke_own(tx: Tx, item_id: ItemId, reason: RevocationReason, caller: Caller) -> Certificate:
    """Revoke for the AR. Raises CertificateExpired, unless the key is reported as compromised."""
    certificate = find_certificate(tx.conn, find_own_order(tx.conn, item_id, caller))
    revoked = revoke_serial(tx, certificate.serial, reason, caller.ar_id, by=RevokedBy.REPRESENTATIVE)
    assert isinstance(revoked, Certificate)
    return revoked


def revoke_serial(
    tx: Tx, serial: str, reason: RevocationReason, actor: str, *, by: RevokedBy = RevokedBy.CA
) -> Certificate | StrayCertificate:
    """Revoke a certificate, or replace its reason by a graver one. Raises CertificateNotFound, CertificateExpired.

    A precertificate whose intent still waits is one: the intent is ended and its order refused. A compromised key is
    blocked and all its certificates are revoked, even if this one has expired.
    """
    ended_intents.revoke_waiting(tx, serial, reason, actor)
    certificate = _find_any(tx.conn, serial)
    if reason is RevocationReason.KEY_COMPROMISE:
        block_key(tx, certificate.spki_sha256, source=f"revocation of {serial}", actor=actor, by=by)
    elif isinstance(certificate, StrayCertificate):
        stray_certificates.revoke_stray(tx, serial, reason, actor)
    else:
        revoke_one(tx, certificate, reason, actor, by=by)
    return _find_any(tx.conn, serial)


def _find_any(conn: Conn, serial: str) -> Certificate | StrayCertificate:
    found = certificate_store.find_by_serial(conn, serial) or stray_store.lock_stray(conn, serial)
    if found is None:
        raise CertificateNotFound("there is no certificate with this serial number")
    return found


def block_key(tx: Tx, spki_sha256: bytes, *, source: str, actor: str, by: RevokedBy = RevokedBy.CA) -> int:
    """Block this key for good, and revoke its certificates. Returns their number.

    One key per transaction, the key before any issuance lock, these in order of renewal: so two revocations that share
    a key never deadlock.
    """
    store.lock_key(tx.conn, spki_sha256)
    if store.add_blocked_key(tx.conn, spki_sha256, source, tx.now):
        audit.record(tx, actor=actor, action="key-blocked", subject=spki_sha256.hex(), details={"source": source})
    of_key = certificate_store.find_of_key(tx.conn, spki_sha256, tx.now)
    revoked = sum(revoke_one(tx, certificate, RevocationReason.KEY_COMPROMISE, actor, by=by) for certificate in of_key)
    certificate_store.hasten_intents(tx.conn, spki_sha256, tx.now)
    strays = stray_store.find_strays_of_key(tx.conn, spki_sha256, tx.now)
    return revoked + sum(
        stray_certificates.revoke_stray(tx, serial, RevocationReason.KEY_COMPROMISE, actor) for serial in strays
    )


def revoke_one(
    tx: Tx,
    found: Certificate,
    reason: RevocationReason,
    actor: str,
    *,
    by: RevokedBy = RevokedBy.CA,
    never_announced: bool = False,
) -> bool:
    """Revoke, or replace the reason by a graver one. Returns False if nothing changes. Raises CertificateExpired.

    A graver reason keeps the first date, and the next CRL lists it (BR 7.2.2); a lesser one changes nothing. The event
    of a certificate that was never announced contains it.
    """
    store.lock_gate(tx.conn, found.renewal_id)
    certificate = certificate_store.lock_certificate(tx.conn, found.serial)
    assert certificate is not None
    if certificate.revoked_at is None and certificate.not_after < tx.now:
        raise CertificateExpired("the certificate has expired")
    if certificate.revocation_reason and GRAVITY[reason] <= GRAVITY[RevocationReason(certificate.revocation_reason)]:
        return False
    revoked_at = certificate.revoked_at or tx.now
    certificate_store.save_revoked(tx.conn, certificate.serial, reason, revoked_at)
    outbox.add(
        tx,
        CertificateRevoked(
            renewal_id=certificate.renewal_id,
            item_id=certificate.item_id,
            serial=certificate.serial,
            reason=reason.value,
            revoked_at=revoked_at,
            certificate=_pem(certificate) if never_announced else None,
            revoked_by=by.value,
        ),
    )
    details = {"reason": reason.value, "was": certificate.revocation_reason}
    audit.record(tx, actor=actor, action="certificate-revoked", subject=certificate.serial, details=details)
    return True


def _pem(certificate: Certificate) -> str:
    return x509.load_der_x509_certificate(certificate.der).public_bytes(Encoding.PEM).decode()
