"""Examination of an e-Cert without a sign-in: its facts, and the result of each check."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from services.identity import certificates, one_time_store, organisations, revocation, rollover, store, subjects
from services.identity.authorising import CODE_LIFETIME, Authorise, RedeemCode, challenge_of, digest
from services.identity.certificates import Chain, Trust
from services.identity.one_time_store import ShownCertificate
from services.identity.refusals import CertificateRefused, CodeRefused, NotEnrolled, OrganisationMismatch
from shared.pki.certificates import sha256
from shared.pki.crls import RevocationUnknown
from shared.tx import Tx


class Check(StrEnum):
    """The checks, in this order."""

    VALIDITY = "validity"
    KIND = "kind"
    KEY = "key"
    ISSUER = "issuer"
    REVOCATION = "revocation"
    REGISTRATION = "registration"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of a check: `fault` is None if it passed; not `made` if an earlier failure prevents it."""

    check: Check
    made: bool = True
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The facts of an e-Cert and the findings. `serial` is lower-case hexadecimal."""

    holder: str
    organisation: str
    issuer: str
    mutual_recognition: bool
    serial: str
    not_before: datetime
    not_after: datetime
    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Whether a sign-in would succeed: the checks are those of handlers.identify, one by one."""
        return all(finding.made and finding.fault is None for finding in self.findings)


def examine(tx: Tx, certificate: x509.Certificate, *, trust: Trust) -> Report:
    """Make all possible checks, as of now."""
    validity = _find(Check.VALIDITY, lambda: certificates.check_validity(certificate, tx.now))
    # The issuer of an expired e-Cert can still be determined.
    at = max(certificate.not_valid_before_utc, min(tx.now, certificate.not_valid_after_utc))
    chains, issuer = _chains(certificate, trust, at)
    kind = _find(Check.KIND, lambda: certificates.check_class(certificate, trust))
    if chains and kind.fault is None:
        kind = _find(Check.KIND, lambda: certificates.check_policies(chains, trust))
    key = _find(Check.KEY, lambda: certificates.check_key(certificate, trust))
    revocation = _revocation(tx, chains, trust)
    registration = _find(Check.REGISTRATION, lambda: _check_registration(tx, certificate, chains, trust))
    return Report(
        **describe(certificate),
        mutual_recognition=any(chain.issuers[0] in trust.mutual_recognition for chain in chains),
        findings=(validity, kind, key, issuer, revocation, registration),
    )


def _find(check: Check, make: Callable[[], object]) -> Finding:
    try:
        make()
    except (CertificateRefused, RevocationUnknown, NotEnrolled, OrganisationMismatch) as refused:
        return Finding(check=check, fault=refused.reason)
    return Finding(check=check)


def _chains(certificate: x509.Certificate, trust: Trust, at: datetime) -> tuple[tuple[Chain, ...], Finding]:
    try:
        return certificates.find_chains(certificate, trust, at), Finding(check=Check.ISSUER)
    except CertificateRefused as refused:
        return (), Finding(check=Check.ISSUER, fault=refused.reason)


def _revocation(tx: Tx, chains: tuple[Chain, ...], trust: Trust) -> Finding:
    if not chains:
        return Finding(check=Check.REVOCATION, made=False)
    return _find(Check.REVOCATION, lambda: revocation.clear(tx, chains, trust=trust))


def _check_registration(tx: Tx, certificate: x509.Certificate, chains: tuple[Chain, ...], trust: Trust) -> None:
    ar = store.find_ar_by_certificate(tx.conn, sha256(certificate))
    if ar is None and chains:
        ar, _ = rollover.find_predecessor(tx, chains[0], trust=trust)
    if ar is None:
        raise NotEnrolled
    subscriber = store.find_subscriber(tx.conn, ar.subscriber_id)
    if subscriber is None or not organisations.names(certificate, subscriber):
        raise OrganisationMismatch


def describe(certificate: x509.Certificate) -> dict[str, Any]:
    """Return the facts of the e-Cert for a Report."""
    return {
        "holder": certificates.common_name(certificate),
        "organisation": _organisation(certificate),
        "issuer": _issuer_name(certificate),
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
    }


def _organisation(certificate: x509.Certificate) -> str:
    return next(iter(subjects.values(certificate, subjects.ORGANISATION)), "")


def _issuer_name(certificate: x509.Certificate) -> str:
    names = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.issuer.rfc4514_string()


def show(tx: Tx, command: Authorise, certificate: x509.Certificate) -> str:
    """Store a presented certificate. Returns the code with which the portal requests the findings."""
    code = secrets.token_urlsafe(32)
    shown = ShownCertificate(
        code_sha256=digest(code),
        certificate=certificate.public_bytes(serialization.Encoding.DER),
        redirect_uri=command.redirect_uri,
        code_challenge=command.code_challenge,
        expires_at=tx.now + CODE_LIFETIME,
    )
    one_time_store.add_shown(tx.conn, shown, tx.now)
    return code


def take_shown(tx: Tx, command: RedeemCode) -> bytes | CodeRefused:
    """Return the certificate of a code (DER, to be parsed after the transaction) to its initiator.

    A refusal is returned, not raised, so that the transaction commits.
    """
    shown = one_time_store.take_shown(tx.conn, digest(command.code))
    if (
        shown is None
        or shown.expires_at <= tx.now
        or shown.redirect_uri != command.redirect_uri
        or not hmac.compare_digest(shown.code_challenge, challenge_of(command.code_verifier))
    ):
        return CodeRefused()
    return shown.certificate
