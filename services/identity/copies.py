"""Copies of signature evidence outside the database: announced as it is attested, read back after a restore.

A copy proves itself: identity's own signature over the attestation, and the AR's over the document, are verified again
before a row is written. Revocation lists are not copied, only named: they are their CA's publications.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from services.identity import cms, crl_store, document, one_time_store, store
from services.identity.certificates import Trust
from services.identity.handlers import ISSUER
from services.identity.refusals import CopyRefused
from services.identity.store import Evidence
from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.events.identity import EvidenceCRL, EvidenceKept
from shared.messaging import codec, outbox
from shared.pki import crls
from shared.pki.crls import CRLRefused, StoredCRL
from shared.security.tokens import KeySet, TokenKind, verify
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import ARId, SubscriberId
from shared.web.auth import Caller

log = structlog.get_logger()

BATCH: Final = 100
# By the list's hash, the file that it is in.
ListFiles = Mapping[str, Path]


def announce(tx: Tx, evidence: Evidence, used: Iterable[StoredCRL]) -> None:
    """Announce a copy of the evidence in the transaction that keeps it."""
    outbox.add(
        tx,
        EvidenceKept(
            renewal_id=evidence.renewal_id,
            evidence_id=evidence.id,
            attestation=evidence.attestation,
            document=_base64(evidence.document),
            signature=_base64(evidence.signature),
            chain=tuple(map(_base64, evidence.chain)),
            crls=tuple(EvidenceCRL(issuer_sha256=each.issuer_sha256, sha256=each.sha256) for each in used),
            decision=json.dumps(evidence.decision, ensure_ascii=False),
            verified_at=evidence.verified_at,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Keys by which a copy is verified; files with lists that the database lost, and the CAs that verify those."""

    keys: KeySet
    lists: ListFiles = field(default_factory=dict)
    trust: Trust | None = None


@dataclass(kw_only=True)
class Restored:
    """The outcome of a run: how many copies were known or restored, and what a person must see to."""

    known: int = 0
    restored: int = 0
    # A line each: whose evidence cannot be restored and why, or which list an evidence lacks.
    refused: list[str] = field(default_factory=list)
    lists_missing: list[str] = field(default_factory=list)


def restore(pool: Pool, checks: Checks, *, actor: str, clock: Clock = utc_now, batch: int = BATCH) -> Restored:
    """Write the evidence whose copies an outbox recovery brought back, and end every sign-in that is under way.

    A batch is one transaction; a run that was broken off is run again and skips what it knows. A code or challenge may
    have been used after the restored moment, and would be good a second time.
    """
    found = Restored()
    with transaction(pool, clock=clock) as tx:
        one_time_store.end_all(tx.conn)
        audit.record(tx, actor=actor, action="sign-ins-ended", subject="sign-ins")
    last = 0
    while True:
        with transaction(pool, clock=clock) as tx:
            rows = store.recovered_copies(tx.conn, after=last, limit=batch)
            for _, key, data in rows:
                try:
                    _restore_one(tx, codec.decode_data(data, EvidenceKept), checks, actor, found)
                except Refused as refused:
                    found.refused.append(f"renewal {key}: {refused.reason}: {refused}")
        if len(rows) < batch:
            return found
        last = rows[-1][0]


def restore_after_recall(pool: Pool, keys: KeySet, *, actor: str, clock: Clock = utc_now) -> list[str]:
    """Restore the evidence at the end of an outbox recovery, before any process starts. Returns what could not be."""
    return restore(pool, Checks(keys=keys), actor=actor, clock=clock).refused


def find_lists(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by the hash of the list that each holds; files over the budget are not read."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.stat().st_size <= crls.MAX_BYTES]
    found: dict[str, Path] = {}
    for file in files:
        try:
            found[hashlib.sha256(_read_list(file)).hexdigest()] = file
        except CRLRefused:
            continue
    return found


def _read_list(file: Path) -> bytes:
    return crls.as_der(file.read_bytes())


def _restore_one(tx: Tx, event: EvidenceKept, checks: Checks, actor: str, found: Restored) -> None:
    evidence = _read(tx, event, checks.keys)
    is_new = _add(tx, evidence)
    _link_lists(tx, event, checks, found)
    if not is_new:
        found.known += 1
        return
    found.restored += 1
    details: dict[str, audit.Detail] = {
        "evidence_id": str(evidence.id),
        "document_sha256": evidence.document_sha256,
        "ar": evidence.ar_id,
    }
    audit.record(tx, actor=actor, action="evidence-restored", subject=str(evidence.renewal_id), details=details)


def _add(tx: Tx, evidence: Evidence) -> bool:
    """Write the evidence; return False if it is there. Raises CopyRefused if it cannot be."""
    ar = store.lock_ar(tx.conn, evidence.ar_id)
    if ar is None or ar.subscriber_id != evidence.subscriber_id:
        raise CopyRefused(f"enrol {evidence.ar_id} of {evidence.subscriber_id} again, then run `restore-evidence`")
    if store.add_evidence(tx.conn, evidence, ()):
        return True
    known = store.find_evidence(tx.conn, evidence.id)
    if known is None or known.attestation != evidence.attestation:
        raise CopyRefused("the same signature, nonce or renewal has another evidence")
    return False


def _read(tx: Tx, event: EvidenceKept, keys: KeySet) -> Evidence:
    """Return the evidence that a copy is of. Raises CopyRefused or another refusal if the copy does not prove it."""
    claims = verify(event.attestation, kind=TokenKind.ATTESTATION, keys=keys, now=tx.now, issuer=ISSUER)
    try:
        text, signature, *chain = (
            base64.b64decode(each, validate=True) for each in (event.document, event.signature, *event.chain)
        )
        caller = Caller(
            ar_id=ARId(claims["sub"]),
            subscriber_id=SubscriberId(claims["subscriber"]["id"]),
            certificate_sha256=claims["certificate_sha256"],
        )
        decision = json.loads(event.decision)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise CopyRefused("the copy is damaged") from error
    signed = document.read(text, renewal_id=event.renewal_id, caller=caller)
    evidence = Evidence(
        id=event.evidence_id,
        renewal_id=event.renewal_id,
        subscriber_id=caller.subscriber_id,
        ar_id=caller.ar_id,
        nonce=signed.nonce,
        document=text,
        document_sha256=hashlib.sha256(text).hexdigest(),
        signature=signature,
        signature_sha256=hashlib.sha256(signature).hexdigest(),
        certificate_sha256=caller.certificate_sha256,
        chain=chain,
        decision=decision,
        attestation=event.attestation,
        verified_at=event.verified_at,
    )
    _check(evidence, claims)
    return evidence


def _check(evidence: Evidence, claims: Mapping[str, Any]) -> None:
    """Require that both signatures are over this evidence. Raises CopyRefused or SignatureRefused."""
    verified = cms.verify(evidence.signature, evidence.document, evidence.verified_at)
    signers = {hashlib.sha256(der).hexdigest() for der in (verified.certificate_der, *evidence.chain[:1])}
    said = {
        "jti": str(evidence.id),
        "renewal_id": str(evidence.renewal_id),
        "document_sha256": evidence.document_sha256,
        "iat": int(evidence.verified_at.timestamp()),
    }
    if signers != {evidence.certificate_sha256} or {name: claims.get(name) for name in said} != said:
        raise CopyRefused("the copy is not what was attested")


def _link_lists(tx: Tx, event: EvidenceKept, checks: Checks, found: Restored) -> None:
    """Link the lists that the decision was based on, with those from files that the database lacks."""
    for each in event.crls:
        if checks.trust is not None and each.sha256 in checks.lists:
            try:
                der = _read_list(checks.lists[each.sha256])
                issuer = crls.issuer_of(der, checks.trust.issuers)
                crl_store.keep_crl(tx.conn, crls.accept(der, issuer, event.verified_at, checks.trust.crl_ages), tx.now)
            except CRLRefused as refused:
                found.refused.append(f"{event.evidence_id}: the list {each.sha256}: {refused.reason}")
        if not store.link_crl(tx.conn, event.evidence_id, each.issuer_sha256, each.sha256):
            found.lists_missing.append(f"{event.evidence_id} {each.sha256}")
            log.warning("evidence.list_missing", evidence_id=str(event.evidence_id), sha256=each.sha256)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
