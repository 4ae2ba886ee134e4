"""Attestation of the AR's signature over an application: verified once, stored as evidence, attested by a token."""

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import Any

from services.identity import copies, document, reading, records, store, subjects, tickets
from services.identity.certificates import Trust
from services.identity.cms import VerifiedSignature
from services.identity.document import SignedDocument
from services.identity.handlers import ISSUER, Identified, evidence_claims, identify
from services.identity.refusals import NonceSpent, OfficeEnded, OtherCertificate, RecordUnusable
from services.identity.store import Evidence
from shared import audit
from shared.audit import Detail
from shared.events.identity import SignatureVerified
from shared.messaging import outbox
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign
from shared.tx import Begin, Tx
from shared.validation.parsing_pool import INLINE, Parser
from shared.validation.subscriber_record import RecordRefused
from shared.vocabulary import RenewalId
from shared.web.auth import Caller


@dataclass(frozen=True, kw_only=True)
class Attest:
    """A signed document to attest, with application's draft ticket."""

    renewal_id: RenewalId
    document: bytes
    signature: bytes
    ticket: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """identity's own key, and the public keys that verify draft tickets."""

    signing: SigningKey
    application: KeySet


def attest(
    begin: Begin, command: Attest, caller: Caller, *, trust: Trust, keys: Keys, parser: Parser = INLINE
) -> Evidence:
    """Verify the signature, and store the evidence with its attestation; the same signature gets the same evidence
    again.

    A lost answer can be requested again even with an expired ticket, since the first request had a valid one. The
    signature is verified between two transactions, because the parser may be slow. Raises TicketRefused,
    SignatureRefused, OtherCertificate, OfficeEnded, DocumentRefused, NonceSpent, RecordUnusable, and the errors of
    identify.
    """
    with begin() as tx:
        earlier = _earlier(tx, command, caller)
    if earlier is not None:
        return earlier
    tickets.check(
        command.ticket,
        renewal_id=command.renewal_id,
        document=command.document,
        caller=caller,
        keys=keys.application,
        now=tx.now,
    )
    verified = reading.verify(parser, command.signature, command.document, tx.now)
    certificate_sha256 = hashlib.sha256(verified.certificate_der).hexdigest()
    if not hmac.compare_digest(certificate_sha256, caller.certificate_sha256):
        raise OtherCertificate("sign with the e-Cert that you signed in with")
    with begin() as tx:
        return _attest_verified(tx, command, caller, verified, trust=trust, key=keys.signing)


def _attest_verified(
    tx: Tx, command: Attest, caller: Caller, verified: VerifiedSignature, *, trust: Trust, key: SigningKey
) -> Evidence:
    """Store and announce the evidence of a verified signature."""
    found = identify(tx, verified.certificate, trust=trust)
    if (found.ar.id, found.subscriber.id) != (caller.ar_id, caller.subscriber_id):
        raise OfficeEnded("the e-Cert is no longer the caller's")
    signed = document.read(command.document, renewal_id=command.renewal_id, caller=caller)
    _check_records(found, signed)
    evidence = _evidence(tx, command, signed, verified, found, tx.new_id(), key=key)
    if not store.add_evidence(tx.conn, evidence, found.crls):
        # Of two simultaneous requests with one signature, the second has waited for the first at the unique key.
        earlier = _earlier(tx, command, caller)
        if earlier is None:
            raise NonceSpent("this application was signed before, with another signature")
        return earlier
    _announce(tx, evidence)
    copies.announce(tx, evidence, found.crls)
    return evidence


def _check_records(found: Identified, signed: SignedDocument) -> None:
    """Refuse, before payment, what a proof, certificate, e-mail or letter would refuse afterwards.

    shared/security/proofs.py requires the names in the document to equal the register's, so no variants are folded
    here.
    """
    if (signed.subscriber_name, signed.ar_name) != (found.subscriber.name, found.ar.name):
        raise RecordUnusable("the document and the register spell the subscriber's or the representative's name apart")
    try:
        records.check_subscriber(found.subscriber)
        records.check_ar(found.ar, found.subscriber)
    except RecordRefused as refused:
        raise RecordUnusable(f"the register's record has to be corrected by the CA: {refused}") from refused


def _earlier(tx: Tx, command: Attest, caller: Caller) -> Evidence | None:
    """Return the evidence of the same earlier request, if it was stored."""
    evidence = store.find_attested(tx.conn, caller.ar_id, hashlib.sha256(command.signature).hexdigest())
    if evidence is None:
        return None
    if (evidence.renewal_id, evidence.document) != (command.renewal_id, command.document):
        raise NonceSpent("this signature was attested for another application")
    if evidence.certificate_sha256 != caller.certificate_sha256:
        raise OtherCertificate("sign with the e-Cert that you signed in with")
    return evidence


def _evidence(
    tx: Tx,
    command: Attest,
    signed: SignedDocument,
    verified: VerifiedSignature,
    found: Identified,
    evidence_id: uuid.UUID,
    *,
    key: SigningKey,
) -> Evidence:
    document_sha256 = hashlib.sha256(command.document).hexdigest()
    claims = _claims(found) | {
        "jti": str(evidence_id),
        "renewal_id": str(command.renewal_id),
        "document_sha256": document_sha256,
    }
    return Evidence(
        id=evidence_id,
        renewal_id=command.renewal_id,
        subscriber_id=found.subscriber.id,
        ar_id=found.ar.id,
        nonce=signed.nonce,
        document=command.document,
        document_sha256=document_sha256,
        signature=command.signature,
        signature_sha256=hashlib.sha256(command.signature).hexdigest(),
        certificate_sha256=found.certificate_sha256,
        chain=found.chain.as_der(),
        decision=_decision(tx, verified, found),
        attestation=sign(claims, kind=TokenKind.ATTESTATION, key=key, now=tx.now, issuer=ISSUER),
        verified_at=tx.now,
    )


def _claims(found: Identified) -> dict[str, Any]:
    """Return the claims about AR and subscriber, from our own records: no other service can redirect e-mail or post."""
    subscriber, ar = found.subscriber, found.ar
    organisation = {
        "id": subscriber.id,
        "name": subscriber.name,
        "country": subscriber.country,
        "state_or_province": subscriber.state_or_province,
        "locality": subscriber.locality,
    }
    return {
        "sub": ar.id,
        "certificate_sha256": found.certificate_sha256,
        "subscriber": {name: value for name, value in organisation.items() if value is not None},
        "ar": {"id": ar.id, "name": ar.name, "email": ar.email, "address": ar.address},
        **evidence_claims(found),
    }


def _decision(tx: Tx, verified: VerifiedSignature, found: Identified) -> dict[str, Detail]:
    """Return why the signature was accepted, for an auditor years later."""
    return {
        "outcome": "accepted",
        "profile": "CAdES B-B, detached",
        "received_at": tx.now.isoformat(),
        "signing_time": verified.signing_time.isoformat(),
        "hash": verified.hash_name,
        "signature_algorithm": verified.signature_algorithm.hex(),
        "certificate_subject": subjects.describe(found.chain.leaf),
        "certificate_serial": f"{found.chain.leaf.serial_number:x}",
        "crls": [f"{crl.sha256} number {crl.number} of {crl.this_update.isoformat()}" for crl in found.crls],
    }


def _announce(tx: Tx, evidence: Evidence) -> None:
    outbox.add(
        tx,
        SignatureVerified(
            renewal_id=evidence.renewal_id,
            evidence_id=evidence.id,
            subscriber_id=evidence.subscriber_id,
            ar_id=evidence.ar_id,
            document_sha256=evidence.document_sha256,
            certificate_sha256=evidence.certificate_sha256,
            verified_at=evidence.verified_at,
        ),
    )
    audit.record(
        tx,
        actor=evidence.ar_id,
        action="signature-verified",
        subject=str(evidence.renewal_id),
        details={"evidence_id": str(evidence.id), "document_sha256": evidence.document_sha256},
    )


def record_refusal(tx: Tx, command: Attest, caller: Caller, reason: str) -> None:
    """Audit a refused attestation."""
    details: dict[str, Detail] = {
        "reason": reason,
        "signature_sha256": hashlib.sha256(command.signature).hexdigest(),
        "document_sha256": hashlib.sha256(command.document).hexdigest(),
        "certificate_sha256": caller.certificate_sha256,
    }
    subject = str(command.renewal_id)
    audit.record(tx, actor=caller.ar_id, action="attestation-refused", subject=subject, details=details)
