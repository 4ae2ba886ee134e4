"""Handlers of sign-ins: validate an e-Cert from its path to the office of its AR."""

from dataclasses import dataclass, field

from cryptography import x509

from services.identity import certificates, organisations, revocation, rollover, store
from services.identity.certificates import Chain, Trust
from services.identity.domain import AuthorisedRepresentative, Subscriber
from services.identity.refusals import OfficeEnded, OrganisationMismatch
from shared import audit
from shared.pki.certificates import sha256
from shared.pki.crls import StoredCRL
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.tx import Tx
from shared.vocabulary import RenewalId
from shared.web.auth import Caller

ISSUER = "identity"


@dataclass(frozen=True, kw_only=True)
class Identified:
    """An AR in office, with the accepted chain and CRLs."""

    ar: AuthorisedRepresentative
    subscriber: Subscriber
    certificate_sha256: str
    chain: Chain
    crls: tuple[StoredCRL, ...]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The tokens of a sign-in. `authorisation` is for the checkout of one renewal."""

    access_token: str = field(repr=False)
    authorisation: str | None = field(repr=False)


def identify(tx: Tx, certificate: x509.Certificate, *, trust: Trust) -> Identified:
    """Validate an e-Cert now: path, class, use, revocation, then its AR. The successor of a registered e-Cert is
    registered: call this for one whose key's possession is proved, and commit.

    Raises CertificateRefused, RevocationUnknown, NotEnrolled or OrganisationMismatch.
    """
    chain, used = revocation.clear(tx, certificates.validate(certificate, trust, tx.now), trust=trust)
    certificate_sha256 = sha256(certificate)
    ar = store.find_ar_by_certificate(tx.conn, certificate_sha256)
    if ar is None:
        ar = rollover.register_successor(tx, chain, trust=trust)
    subscriber = store.find_subscriber(tx.conn, ar.subscriber_id)
    assert subscriber is not None
    if not organisations.names(certificate, subscriber):
        raise OrganisationMismatch("the e-Cert names another organisation than the one on file")
    return Identified(ar=ar, subscriber=subscriber, certificate_sha256=certificate_sha256, chain=chain, crls=used)


def sign_in(tx: Tx, certificate: x509.Certificate, *, trust: Trust, key: SigningKey) -> str:
    """Return the access token of an AR who presented their e-Cert. Raises the errors of identify."""
    return _access_token(tx, identify(tx, certificate, trust=trust), "client-certificate", key=key)


def authorise_checkout(
    tx: Tx, certificate: x509.Certificate, renewal_id: RenewalId, *, trust: Trust, key: SigningKey
) -> str:
    """Return a single-use token with which payment opens the checkout of one renewal; validates the e-Cert again.

    Raises the errors of identify. Payment checks that the renewal is the subscriber's own.
    """
    return _checkout_token(tx, identify(tx, certificate, trust=trust), renewal_id, key=key)


def issue_tokens(tx: Tx, found: Identified, renewal_id: RenewalId | None, method: str, *, key: SigningKey) -> Tokens:
    """Return the tokens of an AR who was just identified by `method`; for a renewal, with the
    checkout authorisation.
    """
    return Tokens(
        access_token=_access_token(tx, found, method, key=key),
        authorisation=None if renewal_id is None else _checkout_token(tx, found, renewal_id, key=key),
    )


def _access_token(tx: Tx, found: Identified, method: str, *, key: SigningKey) -> str:
    claims = _claims(found) | evidence_claims(found) | {"role": "ar", "jti": str(tx.new_id())}
    details = {"certificate_sha256": found.certificate_sha256, "method": method}
    audit.record(tx, actor=found.ar.id, action="signed-in", subject=found.subscriber.id, details=details)
    return sign(claims, kind=TokenKind.ACCESS, key=key, now=tx.now, issuer=ISSUER)


def _checkout_token(tx: Tx, found: Identified, renewal_id: RenewalId, *, key: SigningKey) -> str:
    claims = _claims(found) | {"renewal_id": str(renewal_id), "jti": str(tx.new_id())}
    details = {"certificate_sha256": found.certificate_sha256}
    audit.record(tx, actor=found.ar.id, action="checkout-authorised", subject=str(renewal_id), details=details)
    return sign(claims, kind=TokenKind.CHECKOUT, key=key, now=tx.now, issuer=ISSUER)


def _claims(found: Identified) -> dict[str, str]:
    return {
        "sub": found.ar.id,
        "subscriber_id": found.subscriber.id,
        "certificate_sha256": found.certificate_sha256,
    }


def evidence_claims(found: Identified) -> dict[str, str]:
    """Return the claims that say when organisation and authority were verified; none for what is unknown."""
    verified = {
        "organisation_verified_at": found.subscriber.evidence,
        "authority_verified_at": found.ar.evidence,
    }
    return {name: each.verified_at.isoformat() for name, each in verified.items() if each is not None}


def find_caller(tx: Tx, caller: Caller) -> tuple[AuthorisedRepresentative, Subscriber]:
    """Return the caller and their organisation, as in the register. Raises OfficeEnded."""
    ar = store.find_acting_ar(tx.conn, caller.ar_id)
    subscriber = None if ar is None else store.find_subscriber(tx.conn, ar.subscriber_id)
    if ar is None or subscriber is None or subscriber.id != caller.subscriber_id:
        raise OfficeEnded("the Authorised Representative no longer acts for the subscriber")
    return ar, subscriber


def record_refusal(tx: Tx, reason: str, certificate_sha256: str, action: str) -> None:
    """Audit a refusal, in a separate transaction: the refused one is rolled back."""
    audit.record(tx, actor="unknown", action=action, subject=certificate_sha256, details={"reason": reason})
