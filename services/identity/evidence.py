"""Export of evidence as files that anybody can verify with openssl only."""

import json
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.identity import store
from services.identity.refusals import EvidenceNotFound
from services.identity.store import Evidence
from shared.db import Conn


def export(conn: Conn, evidence_id: uuid.UUID, folder: Path) -> str:
    """Write an evidence to a folder. Returns the command that verifies it. Raises EvidenceNotFound."""
    evidence = store.find_evidence(conn, evidence_id)
    if evidence is None:
        raise EvidenceNotFound(f"there is no evidence {evidence_id}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "document.json").write_bytes(evidence.document)
    (folder / "signature.p7s").write_bytes(evidence.signature)
    (folder / "attestation.jwt").write_text(evidence.attestation + "\n", "ascii")
    signer, *issuers, anchor = [x509.load_der_x509_certificate(der) for der in evidence.chain]
    (folder / "signer.pem").write_bytes(_pem(signer))
    # `openssl cms` takes intermediates and CRLs from one file with the anchor; only a root counts as an anchor in it.
    crls = [x509.load_der_x509_crl(der) for der in store.find_evidence_crls(conn, evidence_id)]
    (folder / "chain-and-crls.pem").write_bytes(_pem(*issuers, anchor, *crls))
    (folder / "decision.json").write_text(json.dumps(_record(evidence), indent=1, ensure_ascii=False) + "\n", "utf-8")
    command = verification(evidence)
    (folder / "verify.sh").write_text(f"#!/bin/sh\n# Run in this folder.\n{command}\n", "utf-8")
    return command


def verification(evidence: Evidence) -> str:
    """Return the openssl command that verifies the files, as of the time when the signature was received."""
    return (
        "openssl cms -verify -binary -inform DER -in signature.p7s -content document.json"
        " -CAfile chain-and-crls.pem -crl_check_all"
        f" -attime {int(evidence.verified_at.timestamp())} -purpose any -cades -out /dev/null"
    )


def _record(evidence: Evidence) -> dict[str, object]:
    named = {
        "evidence_id": str(evidence.id),
        "renewal_id": str(evidence.renewal_id),
        "subscriber_id": evidence.subscriber_id,
        "ar_id": evidence.ar_id,
        "nonce": evidence.nonce,
        "document_sha256": evidence.document_sha256,
        "signature_sha256": evidence.signature_sha256,
        "certificate_sha256": evidence.certificate_sha256,
        "verified_at": evidence.verified_at.isoformat(),
    }
    return named | dict(evidence.decision)


def _pem(*things: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in things)
