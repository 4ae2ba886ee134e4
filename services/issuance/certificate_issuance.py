"""Issue a certificate for an accepted CSR: re-run every check, persist the intent (serial and TBS bytes) before the CA
key is used, sign, store and announce.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from services.issuance import certificate_store, proofs, revocation, store
from services.issuance.ca import lint, profiles
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.crl import RevocationReason
from services.issuance.ca.profiles import Addresses, Leaf, SubjectRefused
from services.issuance.ca.signer import Signer, SoftwareSigner
from services.issuance.ca.validity_policy import NothingInForce, SubscriptionOver, Validity, validity
from services.issuance.csr import csr
from services.issuance.domain import (
    Certificate,
    CSRSetAside,
    Intent,
    IntentMade,
    Order,
    OrderState,
    Renewal,
)
from services.issuance.key_policy import KeyPolicy, key_objection
from shared import audit
from shared.errors import Refused
from shared.events.issuance import CertificateIssued, IssuanceRefused
from shared.messaging import outbox
from shared.pki.names import certificate_names
from shared.security.proofs import ProofKeys, ProofRefused
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId

LEASE: Final = timedelta(seconds=60)
_ACTOR: Final = "issuance"


class SignatureUnusable(Exception):
    """The signer's result is not a signature of the stored bytes by the CA's key: never stored, never delivered."""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Dependencies of issuing, beside the order."""

    ca: IssuingCA
    signer: Signer
    throwaway: SoftwareSigner
    addresses: Addresses
    site_prefix: int
    keys: ProofKeys
    key_policy: KeyPolicy
    random: Callable[[int], bytes]


def make_intent(item_id: ItemId, tx: Tx, issuer: Issuer) -> Intent | None:
    """Store the bytes to be signed for this order. Returns None if it is withheld, refused, or its CSR is discarded.

    Everything is checked again, whatever intake or opening found: (1) issuance lock and order, (2) both proofs, (3) the
    CSR, its names and its key, (4) the linted bytes. Domain validation and CAA belong between (3) and (4), CT between
    the two signatures that then follow. Raises TokenRefused or ProofRefused if a proof is no longer valid: that is not
    the subscriber's fault, and a person must decide.
    """
    found = store.find_order(tx.conn, item_id)
    assert found is not None
    withheld_at = store.lock_gate(tx.conn, found.renewal_id)
    order = store.lock_order(tx.conn, item_id)
    if withheld_at is not None or order is None or order.state is not OrderState.CSR_RECEIVED:
        return None
    renewal = _proved(order, tx, issuer)
    request = _checked_csr(order, renewal, tx, issuer)
    if request is None:
        return None
    try:
        leaf = Leaf(
            serial=profiles.new_serial(issuer.site_prefix, issuer.random),
            organisation=renewal.organisation,
            names=certificate_names(order.server_names),
            validity=validity(tx.now),
            spki=request.spki,
        )
        tbs = profiles.leaf_tbs(leaf, issuer.ca, issuer.addresses, issuer.signer.algorithm)
    except (SubjectRefused, NothingInForce, SubscriptionOver) as refused:
        refuse(tx, order, refused.reason)
        return None
    findings = tuple(str(f) for f in lint.findings(tbs, leaf, issuer.ca, tx.now, issuer.throwaway))
    return _save_intent(tx, order, leaf, tbs, findings)


def checked_again(intent: Intent, tx: Tx, issuer: Issuer) -> Intent | None:
    """Return a claimed intent if it may still be signed. Returns None otherwise: the intent is ended and the order
    refused.

    A signer may be unavailable for days; meanwhile the key may become known to others, or the bytes too old (48 hours
    after notBefore). The bytes are also compared with the order again. Raises the errors of make_intent.
    """
    store.lock_gate(tx.conn, intent.renewal_id)
    order = store.lock_order(tx.conn, intent.item_id)
    assert order is not None
    if order.state is not OrderState.ISSUING:
        return intent  # another process has settled it: signing again changes nothing
    assert order.csr is not None
    renewal = _proved(order, tx, issuer)
    request = csr.read_der(order.csr)
    leaf = Leaf(
        serial=int(intent.serial, 16),
        organisation=renewal.organisation,
        names=certificate_names(order.server_names),
        validity=Validity(not_before=tx.now, not_after=tx.now),  # lint reads the times from the bytes
        spki=request.spki,
    )
    objection = key_objection(tx.conn, request, order.item_id, renewal.subscriber_id, issuer.key_policy)
    findings = tuple(str(f) for f in lint.findings(intent.tbs, leaf, issuer.ca, tx.now, issuer.throwaway))
    if objection is None and not findings:
        return intent
    _end(intent, order, tx, objection=objection, findings=findings)
    return None


def _end(intent: Intent, order: Order, tx: Tx, *, objection: str | None, findings: tuple[str, ...] = ()) -> None:
    """End an intent that waited for its signature, and refuse its order."""
    certificate_store.end_intent(tx.conn, intent.item_id, findings=findings)
    audit.record(
        tx,
        actor=_ACTOR,
        action="intent-ended",
        subject=intent.serial,
        details={"item_id": str(order.item_id), "objection": objection, "findings": list(findings)},
    )
    refuse(tx, order, objection or "lint")


def _keep_revoked(certificate: Certificate, tx: Tx) -> None:
    """Store a certificate that was signed after its intent was ended, as revoked: it is never delivered."""
    if certificate_store.find_by_serial(tx.conn, certificate.serial) is not None:
        return
    certificate_store.add_certificate(tx.conn, certificate)
    details = {"item_id": str(certificate.item_id), "certificate_sha256": certificate.sha256.hex()}
    audit.record(tx, actor=_ACTOR, action="certificate-not-given-out", subject=certificate.serial, details=details)
    blocked = store.is_blocked(tx.conn, certificate.spki_sha256)
    reason = RevocationReason.KEY_COMPROMISE if blocked else RevocationReason.UNSPECIFIED
    revocation.revoke_one(certificate, reason, _ACTOR, tx, never_announced=True)


def _proved(order: Order, tx: Tx, issuer: Issuer) -> Renewal:
    """Verify the renewal's proofs again. Returns the renewal; it must still equal what they prove."""
    stored = store.find_renewal(tx.conn, order.renewal_id)
    assert stored is not None
    renewal, orders = proofs.verified(
        order.renewal_id,
        document=stored.document,
        attestation=stored.attestation,
        receipt=stored.receipt,
        keys=issuer.keys,
        tx=tx,
    )
    ordered = {(o.item_id, o.reference, o.srn, o.product, o.server_names) for o in orders}
    if (
        renewal != stored
        or (order.item_id, order.reference, order.srn, order.product, order.server_names) not in ordered
    ):
        raise ProofRefused("the stored order is not what the proofs say")
    return renewal


def _checked_csr(order: Order, renewal: Renewal, tx: Tx, issuer: Issuer) -> csr.CSR | None:
    """Return the CSR if it can still be used; else discard it, and the order awaits another one,
    with its PINs unspent.
    """
    assert order.csr is not None
    try:
        request = csr.read_der(order.csr)
        csr.check_names(request, order.server_names)
        objection = key_objection(tx.conn, request, order.item_id, renewal.subscriber_id, issuer.key_policy)
    except Refused as refused:
        objection = refused.reason
    if objection is None:
        return request
    waiting = replace(
        order.after(CSRSetAside),
        csr=None,
        csr_sha256=None,
        spki_sha256=None,
        key_kind=None,
        csr_received_at=None,
        refusal=objection,
        due_at=None,
    )
    store.save_order(tx.conn, waiting)
    audit.record(tx, actor=_ACTOR, action="csr-set-aside", subject=str(order.item_id), details={"reason": objection})
    return None


def _save_intent(tx: Tx, order: Order, leaf: Leaf, tbs: bytes, findings: tuple[str, ...]) -> Intent | None:
    intent = Intent(
        item_id=order.item_id,
        renewal_id=order.renewal_id,
        serial=f"{leaf.serial:x}",
        tbs=tbs,
        state="tombstone" if findings else "intended",
        findings=findings,
    )
    certificate_store.add_intent(tx.conn, intent, now=tx.now, due_at=None if findings else tx.now + LEASE)
    store.save_pins(tx.conn, order.item_id, "spent")
    audit.record(
        tx,
        actor=_ACTOR,
        action="intent-refused" if findings else "intent-made",
        subject=intent.serial,
        details={"item_id": str(order.item_id), "findings": list(findings), "tbs_sha256": sha256(tbs).hexdigest()},
    )
    if findings:
        refuse(tx, order, "lint")
        return None
    store.save_order(tx.conn, replace(order.after(IntentMade), due_at=None))
    return intent


def refuse(tx: Tx, order: Order, reason: str) -> None:
    """End an order without a certificate, for good; the caller holds its locks."""
    store.save_order(tx.conn, replace(order.after(IssuanceRefused), refusal=reason, due_at=None))
    store.save_pins(tx.conn, order.item_id, "void")
    outbox.add(tx, IssuanceRefused(renewal_id=order.renewal_id, item_id=order.item_id, reason=reason))
    audit.record(tx, actor=_ACTOR, action="issuance-refused", subject=str(order.item_id), details={"reason": reason})


def sign(intent: Intent, issuer: Issuer) -> bytes:
    """Return the certificate of the stored bytes; always the same. Raises SignerUnavailable, SignatureUnusable."""
    signature = issuer.signer.sign(intent.tbs)
    der = profiles.assemble(intent.tbs, issuer.signer.algorithm, signature)
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(issuer.ca.certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise SignatureUnusable(intent.serial) from error
    if profiles.tbs_of(der) != intent.tbs:
        raise SignatureUnusable(intent.serial)
    return der


def settle(intent: Intent, der: bytes, tx: Tx) -> bool:
    """Store and announce the certificate. Returns False if that was done before, or if the intent was ended meanwhile.

    A token may take minutes to sign. If another worker has claimed and ended the intent meanwhile, or the key was
    blocked, the certificate exists but is refused: it is stored as revoked, and the next CRL lists it.
    """
    certificate = certificate_of(der, item_id=intent.item_id, renewal_id=intent.renewal_id, issued_at=tx.now)
    store.lock_key(tx.conn, certificate.spki_sha256)
    store.lock_gate(tx.conn, intent.renewal_id)
    order = store.lock_order(tx.conn, intent.item_id)
    assert order is not None
    if order.state is OrderState.ISSUING and store.is_blocked(tx.conn, certificate.spki_sha256):
        _end(intent, order, tx, objection="key-blocked")
    if not certificate_store.save_signed(tx.conn, intent.item_id):
        if certificate_store.is_ended(tx.conn, intent.item_id):
            _keep_revoked(certificate, tx)
        return False
    certificate_store.add_certificate(tx.conn, certificate)
    store.save_order(tx.conn, order.after(CertificateIssued))
    parsed = x509.load_der_x509_certificate(der)
    outbox.add(
        tx,
        CertificateIssued(
            renewal_id=order.renewal_id,
            item_id=order.item_id,
            srn=order.srn,
            serial=intent.serial,
            server_names=certificate_names(order.server_names),
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            certificate_sha256=certificate.sha256.hex(),
            certificate=parsed.public_bytes(serialization.Encoding.PEM).decode(),
        ),
    )
    audit.record(
        tx,
        actor=_ACTOR,
        action="certificate-issued",
        subject=intent.serial,
        details={"item_id": str(order.item_id), "certificate_sha256": certificate.sha256.hex()},
    )
    return True


def certificate_of(der: bytes, *, item_id: ItemId, renewal_id: RenewalId, issued_at: datetime) -> Certificate:
    """Return the row of an issued certificate; its serial number is the one in its bytes."""
    parsed = x509.load_der_x509_certificate(der)
    spki = parsed.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        serial=f"{parsed.serial_number:x}",
        item_id=item_id,
        renewal_id=renewal_id,
        spki_sha256=sha256(spki).digest(),
        der=der,
        sha256=sha256(der).digest(),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        issued_at=issued_at,
    )
