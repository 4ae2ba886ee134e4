"""Rollover of an AR's e-Cert: the successor of a registered e-Cert is registered at the first sign-in with it.

The CA renews an e-Cert for the same person and organisation under the same SRN. A sign-in has proved possession of its
key, and the CRLs have cleared it. Anything that differs needs an officer, who enrols the AR with the new e-Cert.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.identity import certificates, organisations, revocation, store, subjects
from services.identity.certificates import Chain, Trust
from services.identity.domain import AuthorisedRepresentative, Subscriber
from services.identity.refusals import NotEnrolled
from shared import audit
from shared.audit import Detail
from shared.events.identity import ECertRolledOver, Recipient
from shared.messaging import outbox
from shared.pki.certificates import sha256
from shared.tx import Tx

_SRN_LENGTH: Final = 10


def register_successor(tx: Tx, chain: Chain, *, trust: Trust) -> AuthorisedRepresentative:
    """Register an e-Cert as the successor of the one that it renews. Returns the AR in office.

    The predecessor stays registered: a successor locks nobody out. Raises the errors of find_predecessor.
    """
    ar, before = find_predecessor(tx, chain, trust=trust)
    name = sha256(chain.leaf)
    der = chain.leaf.public_bytes(serialization.Encoding.DER)
    added = store.add_certificate(tx.conn, ar.id, name, der, tx.now)
    if added.owner != ar.id:
        raise NotEnrolled("the e-Cert was registered for a person whose office has ended")
    if added.is_new:
        details: dict[str, Detail] = {"sha256": name, "renews": sha256(before)}
        audit.record(tx, actor=ar.id, action="certificate-rolled-over", subject=ar.id, details=details)
        _announce(tx, ar, chain.leaf)
    return ar


def _announce(tx: Tx, ar: AuthorisedRepresentative, certificate: x509.Certificate) -> None:
    """Announce the successor, for the e-mails to every AR in office: their addresses are those of the register."""
    subscriber = _subscriber(tx, ar)
    acting = store.find_in_office(tx.conn, subscriber.id)
    event = ECertRolledOver(
        subscriber_id=subscriber.id,
        subscriber_name=subscriber.name,
        ar_id=ar.id,
        ar_name=ar.name,
        certificate_sha256=sha256(certificate),
        serial=f"{certificate.serial_number:x}",
        recipients=tuple(Recipient(name=each.name, email=each.email) for each in acting),
        registered_at=tx.now,
    )
    outbox.add(tx, event)


def find_predecessor(tx: Tx, chain: Chain, *, trust: Trust) -> tuple[AuthorisedRepresentative, x509.Certificate]:
    """Return the registered e-Cert that this one renews, with its AR in office.

    Raises NotEnrolled, or RevocationUnknown if the predecessor's CRL cannot be used now.
    """
    held = store.find_held(tx.conn, organisations.business_numbers(chain.leaf))
    read = [(ar, certificates.read(der)) for ar, der in held]
    matching = [(ar, before) for ar, before in read if _renews(chain, before, _subscriber(tx, ar), trust)]
    if len({ar.id for ar, _ in matching}) != 1:
        raise NotEnrolled("no Authorised Representative is registered with this e-Cert")
    _require_unlisted(tx, [before for _, before in matching], trust)
    return max(matching, key=lambda each: each[1].not_valid_after_utc)


def _subscriber(tx: Tx, ar: AuthorisedRepresentative) -> Subscriber:
    subscriber = store.find_subscriber(tx.conn, ar.subscriber_id)
    assert subscriber is not None
    return subscriber


def _renews(chain: Chain, before: x509.Certificate, subscriber: Subscriber, trust: Trust) -> bool:
    """Return whether the e-Cert is a later one of the same CA and class for the same person, organisation and SRN."""
    after = chain.leaf
    return (
        after.not_valid_before_utc > before.not_valid_before_utc
        and after.not_valid_after_utc > before.not_valid_after_utc
        and certificates.is_issued_by(before, chain.issuers[0])
        and _class_of(after, trust) == _class_of(before, trust)
        and organisations.names(after, subscriber)
        and organisations.names(before, subscriber)
        and _same(_srns(after, subscriber), _srns(before, subscriber))
        and _same(_holders(after), _holders(before))
    )


def _class_of(certificate: x509.Certificate, trust: Trust) -> frozenset[x509.ObjectIdentifier]:
    return certificates.policies_of(certificate) & trust.policies


def _same(after: frozenset[str], before: frozenset[str]) -> bool:
    return len(after) == 1 and after == before


def _srns(certificate: x509.Certificate, subscriber: Subscriber) -> frozenset[str]:
    """Return the SRNs in the subject: values of ten digits that are not the organisation's number."""
    return frozenset(
        value
        for value in certificates.organisation_names(certificate)
        if len(value) == _SRN_LENGTH
        and value.isascii()
        and value.isdigit()
        and not organisations.is_number(value, subscriber.brn)
    )


def _holders(certificate: x509.Certificate) -> frozenset[str]:
    return frozenset(map(organisations.plain, subjects.values(certificate, subjects.COMMON_NAME)))


def _require_unlisted(tx: Tx, held: list[x509.Certificate], trust: Trust) -> None:
    """Require that no predecessor is revoked or suspended: the organisation may have withdrawn the person's authority.

    Raises NotEnrolled or RevocationUnknown.
    """
    if any(revocation.is_listed(tx, each, trust=trust) for each in held):
        raise NotEnrolled("the e-Cert that it renews is revoked or suspended")
