"""Issue a certificate for an accepted CSR: validate again, persist the intent before the CA key is used, then settle.

The intent is the serial number and the precertificate's to-be-signed bytes. `certificate_signing` brings it to the
signed certificate, which is stored and announced in one transaction.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.issuance import (
    certificate_store,
    domain_control,
    domain_store,
    ended_intents,
    pin_store,
    revocation,
    store,
    stray_store,
)
from services.issuance.ca.crl import RevocationReason
from services.issuance.domain import (
    Certificate,
    CSRDiscarded,
    Intent,
    IntentAged,
    IntentMade,
    Order,
    OrderState,
)
from services.issuance.domain_evidence import Evidence
from services.issuance.ended_intents import ACTOR
from services.issuance.issuer import AGED, UNCERTIFIABLE
from services.issuance.signing_validation import IssuanceDeps, Validated, require_examined, validate_for_signing
from shared import audit
from shared.events.issuance import CertificateIssued, IssuanceDelayed, IssuanceWithheld
from shared.messaging import outbox
from shared.pki.names import certificate_names
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId

LEASE: Final = timedelta(seconds=60)
# An order that waits is examined again after a tenth of the time that it has waited, within these bounds.
_EXAMINED_AGAIN: Final = (timedelta(minutes=2), timedelta(hours=1))


class NoIntent(Enum):
    """Reasons for which there is nothing to sign: it ended without a certificate, or it waits."""

    ENDED = "ended"
    WAITING = "waiting"


def make_intent(tx: Tx, item_id: ItemId, deps: IssuanceDeps) -> Intent | NoIntent:
    """Validate the order and store what will be signed for it, whatever intake or opening found.

    Nothing is to be signed if the renewal is withheld, the CSR is discarded, the order is refused, or it waits.
    Raises NamesNotExamined.
    """
    found = store.find_order(tx.conn, item_id)
    assert found is not None
    withheld_at = store.lock_gate(tx.conn, found.renewal_id)
    order = store.lock_order(tx.conn, item_id)
    if withheld_at is not None or order is None or order.state is not OrderState.CSR_RECEIVED:
        return NoIntent.ENDED
    try:
        validated = validate_for_signing(tx, order, deps)
    except UNCERTIFIABLE as refused:
        ended_intents.refuse(tx, order, refused.reason)
        return NoIntent.ENDED
    if validated.objection is not None:
        _discard_csr(tx, order, validated.objection)
        return NoIntent.ENDED
    if not validated.evidence.complete:
        _wait(tx, order, validated.evidence)
        return NoIntent.WAITING
    if not validated.findings:
        require_examined(validated.tbs, validated.evidence, deps.issuer)
    return _save_intent(tx, order, validated)


def _wait(tx: Tx, order: Order, evidence: Evidence) -> None:
    """Have the order wait for its domains: those not looked at recently are looked at first, then it is examined again.

    Obstacles are announced once no check is due any more, and again only if they change.
    """
    renewal = store.find_renewal(tx.conn, order.renewal_id)
    assert renewal is not None
    assert order.csr_received_at is not None
    least, most = _EXAMINED_AGAIN
    waiting = replace(order, due_at=tx.now + min(max((tx.now - order.csr_received_at) / 10, least), most))
    if order.checks_asked_at is None and evidence.stale:
        domain_control.ask_checks(tx, renewal.subscriber_id, evidence.stale)
        store.save_order(tx.conn, replace(waiting, checks_asked_at=tx.now))
        return
    if domain_store.has_due_check(tx.conn, renewal.subscriber_id, evidence.domains):
        store.save_order(tx.conn, waiting)
        return
    if evidence.obstacles != order.obstacles:
        _announce_delay(tx, order, evidence)
    store.save_order(tx.conn, replace(waiting, obstacles=evidence.obstacles, checks_asked_at=None))


def _announce_delay(tx: Tx, order: Order, evidence: Evidence) -> None:
    outbox.add(tx, IssuanceDelayed(renewal_id=order.renewal_id, item_id=order.item_id, obstacles=evidence.obstacles))
    audit.record(
        tx,
        actor=ACTOR,
        action="issuance-delayed",
        subject=str(order.item_id),
        details={
            "obstacles": [f"{o.server_name}: {o.kind}: {o.reason}" for o in evidence.obstacles],
            "domain_checks": list(evidence.checks),
        },
    )


def revalidate_intent(tx: Tx, intent: Intent, deps: IssuanceDeps) -> Intent | NoIntent:
    """Validate a leased intent again before its bytes are signed. Returns the intent to be signed now, if one is.

    A signer may be unavailable for days. If the key has become known to others meanwhile, the intent is ended and the
    order refused. If only the bytes have grown too old (48 hours after notBefore, or the dated rules have changed), the
    intent is ended and another one is made, with another serial number. Raises NamesNotExamined.
    """
    withheld_at = store.lock_gate(tx.conn, intent.renewal_id)
    order = store.lock_order(tx.conn, intent.item_id)
    assert order is not None
    if certificate_store.is_ended(tx.conn, intent.serial):
        return NoIntent.ENDED  # by another worker, which goes on
    if order.state is not OrderState.ISSUING:
        return intent  # another worker has settled it: signing the same bytes again changes nothing
    if withheld_at is not None:  # its end is announced already
        ended_intents.end(tx, intent.item_id, objection="withheld")
        store.save_order(tx.conn, replace(order.after(IntentAged).after(IssuanceWithheld), due_at=None))
        return NoIntent.ENDED
    validated = validate_for_signing(tx, order, deps, intent)
    if validated.objection is None and not validated.findings:
        if validated.evidence.complete:
            require_examined(intent.tbs, validated.evidence, deps.issuer)
            return intent
        renewal = store.find_renewal(tx.conn, order.renewal_id)
        assert renewal is not None
        domain_control.ask_checks(tx, renewal.subscriber_id, validated.evidence.stale)
        return NoIntent.WAITING  # until its lease ends, at most until its bytes are too old
    if validated.objection is None and AGED.issuperset(validated.findings):
        return _replace_aged(tx, intent, order, deps, findings=validated.findings)
    ended_intents.end_and_refuse(tx, order, objection=validated.objection, findings=validated.findings)
    return NoIntent.ENDED


def _replace_aged(
    tx: Tx, intent: Intent, order: Order, deps: IssuanceDeps, *, findings: tuple[str, ...]
) -> Intent | NoIntent:
    """End an intent that grew too old and make another one: the subscriber has done nothing wrong.

    Its precertificate is revoked, also if a crash has lost the signature, or a worker still has it.
    """
    ended_intents.end(tx, intent.item_id, objection=None, findings=findings)
    store.save_order(tx.conn, replace(order.after(IntentAged), due_at=None))
    return make_intent(tx, intent.item_id, deps)


def _keep_revoked(tx: Tx, certificate: Certificate) -> None:
    """Keep a certificate that was signed after its intent was ended: nobody gets it, and it is revoked."""
    if certificate_store.find_by_serial(tx.conn, certificate.serial) is not None:
        return
    certificate_store.add_certificate(tx.conn, replace(certificate, given_out=False))
    details = {"item_id": str(certificate.item_id), "certificate_sha256": certificate.sha256.hex()}
    audit.record(tx, actor=ACTOR, action="certificate-not-given-out", subject=certificate.serial, details=details)
    stray = stray_store.lock_stray(tx.conn, certificate.serial)
    reason = RevocationReason(stray.revocation_reason) if stray and stray.revocation_reason else None
    if store.is_blocked(tx.conn, certificate.spki_sha256):
        reason = RevocationReason.KEY_COMPROMISE
    reason = reason or RevocationReason.UNSPECIFIED
    revocation.revoke_one(tx, certificate, reason, ACTOR, never_announced=True)


def _discard_csr(tx: Tx, order: Order, objection: str) -> None:
    """Have the order wait for another CSR, its PINs unspent; refuse it if an intent that was ended has spent them."""
    if any(pin.state == "spent" for pin in pin_store.find_pins(tx.conn, [order.item_id])):
        ended_intents.refuse(tx, order, objection)
        return
    waiting = replace(
        order.after(CSRDiscarded),
        csr=None,
        csr_sha256=None,
        spki_sha256=None,
        key_kind=None,
        csr_received_at=None,
        refusal=objection,
        due_at=None,
    )
    store.save_order(tx.conn, waiting)
    audit.record(tx, actor=ACTOR, action="csr-set-aside", subject=str(order.item_id), details={"reason": objection})


def _save_intent(tx: Tx, order: Order, validated: Validated) -> Intent | NoIntent:
    findings = validated.findings
    intent = Intent(
        item_id=order.item_id,
        renewal_id=order.renewal_id,
        serial=validated.serial,
        tbs=validated.tbs,
        state="tombstone" if findings else "intended",
        findings=findings,
    )
    certificate_store.add_intent(tx.conn, intent, now=tx.now, due_at=None if findings else tx.now + LEASE)
    pin_store.save_pins(tx.conn, order.item_id, "spent")
    tbs_sha256 = sha256(intent.tbs).hexdigest()
    audit.record(
        tx,
        actor=ACTOR,
        action="intent-refused" if findings else "intent-made",
        subject=intent.serial,
        details={
            "item_id": str(order.item_id),
            "findings": list(findings),
            "tbs_sha256": tbs_sha256,
            "domain_checks": list(validated.evidence.checks),
        },
    )
    if findings:
        ended_intents.refuse(tx, order, "lint")
        return NoIntent.ENDED
    store.save_order(tx.conn, replace(order.after(IntentMade), due_at=None, obstacles=(), checks_asked_at=None))
    return intent


def settle(tx: Tx, intent: Intent, der: bytes) -> bool:
    """Store and announce the certificate, unless that was done before, or the intent was ended meanwhile; False then.

    A token may take minutes to sign. If another worker has claimed and ended the intent meanwhile, or the key was
    blocked, the certificate exists but is refused: it is stored as revoked, and the next CRL lists it.
    """
    certificate = certificate_of(der, item_id=intent.item_id, renewal_id=intent.renewal_id, issued_at=tx.now)
    store.lock_key(tx.conn, certificate.spki_sha256)
    store.lock_gate(tx.conn, intent.renewal_id)
    order = store.lock_order(tx.conn, intent.item_id)
    assert order is not None
    is_ended = certificate_store.is_ended(tx.conn, intent.serial)
    if order.state is OrderState.ISSUING and not is_ended and store.is_blocked(tx.conn, certificate.spki_sha256):
        ended_intents.end_and_refuse(tx, order, objection="key-blocked")
        is_ended = True
    if not certificate_store.save_signed(tx.conn, intent.serial):
        if is_ended:
            _keep_revoked(tx, certificate)
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
        actor=ACTOR,
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
