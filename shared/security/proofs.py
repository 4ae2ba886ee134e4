"""Verification of a renewal's two proofs, both bound to the document's digest: identity's attestation, and payment's
receipt or, for a reissue, application's entitlement: nothing is to be paid within the paid period.

Consumers verify both with public keys, so that a compromised application service cannot trigger issuance: without the
attestation of what an AR signed there is none, and without a receipt none of a renewal (ADR 0073).
"""

import uuid
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from shared.errors import Refused
from shared.security.tokens import Claims, KeySet, TokenKind, read_unverified, verify
from shared.tx import Tx
from shared.vocabulary import Language, Product, RenewalId, UTCTime

RENEWAL: Final = "hk.ecert.renewal-application.v1"
REISSUE: Final = "hk.ecert.reissue-application.v1"
T = TypeVar("T")


class ProofRefused(Refused):
    """Attestation, receipt and document do not match."""

    reason = "proof-refused"


@dataclass(frozen=True)
class ProofKeys:
    """The public keys of identity, application and payment."""

    identity: KeySet
    application: KeySet
    payment: KeySet


class Subscriber(msgspec.Struct, frozen=True):
    """The organisation, as in identity's records."""

    id: str
    name: str
    country: str
    state_or_province: str | None = None
    locality: str | None = None


class AR(msgspec.Struct, frozen=True):
    """The signer, as in identity's records: the only recipient of e-mails and letters."""

    id: str
    name: str
    email: str
    address: list[str]


class EvidenceDates(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the last verification of organisation and authority; None in attestations from before they were kept."""

    organisation_verified_at: UTCTime | None = None
    authority_verified_at: UTCTime | None = None


class _Attestation(EvidenceDates, frozen=True, kw_only=True):
    sub: str
    renewal_id: uuid.UUID
    document_sha256: str
    subscriber: Subscriber
    ar: AR


class Receipt(msgspec.Struct, frozen=True):
    """The payment for the document."""

    sub: uuid.UUID
    amount_minor: int
    currency: str
    document_sha256: str
    captured_at: UTCTime


class _Entitlement(msgspec.Struct, frozen=True):
    sub: uuid.UUID
    document_sha256: str


class _Party(msgspec.Struct, frozen=True):
    id: str
    name: str


class DocumentItem(msgspec.Struct, frozen=True):
    """A certificate in the signed document; documents from before paid periods were recorded have no `paid_until`."""

    item_id: uuid.UUID
    reference: str
    srn: str
    product: Product
    server_names: list[str]
    amount_minor: int
    paid_until: date | None = None


class _Fee(msgspec.Struct, frozen=True):
    amount_minor: int
    currency: str


class Document(msgspec.Struct, frozen=True):
    """The signed document, as far as its readers need it."""

    purpose: str
    renewal_id: uuid.UUID
    reference: str
    language: Language
    subscriber: _Party
    authorised_representative: _Party
    items: list[DocumentItem]
    fee: _Fee

    @property
    def is_reissue(self) -> bool:
        """Whether it asks for certificates within the paid period: nothing is to be paid, no PIN Envelope is sent."""
        return self.purpose == REISSUE


@dataclass(frozen=True)
class Attested:
    """A document with its attested signer."""

    document: Document
    sha256: str
    subscriber: Subscriber
    ar: AR


def attested(renewal_id: RenewalId, *, document: str, attestation: str, keys: KeySet, tx: Tx) -> Attested:
    """Return the document if identity attested that this renewal's AR signed it.

    Raises TokenRefused or ProofRefused.
    """
    claims = verify(attestation, kind=TokenKind.ATTESTATION, keys=keys, now=tx.now, issuer="identity")
    word = _convert(claims, _Attestation)
    signed = read(document)
    digest = sha256(document.encode()).hexdigest()
    if signed.purpose not in (RENEWAL, REISSUE):
        raise ProofRefused("the document is no application")
    if {signed.renewal_id, word.renewal_id} != {renewal_id}:
        raise ProofRefused("the attestation or the document is of another renewal")
    if word.document_sha256 != digest:
        raise ProofRefused("the attestation is of another document")
    _check_parties(signed, word)
    _check_items(signed)
    return Attested(document=signed, sha256=digest, subscriber=word.subscriber, ar=word.ar)


def evidence_dates(attestation: str) -> EvidenceDates:
    """Return the dates in an attestation that `attested` has verified. Raises TokenRefused or ProofRefused."""
    return _convert(read_unverified(attestation), EvidenceDates)


def settled(proven: Attested, *, receipt: str, keys: ProofKeys, tx: Tx) -> Receipt | None:
    """Return the receipt if payment received the document's whole fee; None for a reissue with its entitlement.

    Raises TokenRefused or ProofRefused.
    """
    if proven.document.is_reissue:
        claims = verify(receipt, kind=TokenKind.ENTITLEMENT, keys=keys.application, now=tx.now, issuer="application")
        _check_subject(_convert(claims, _Entitlement), proven)
        return None
    claims = verify(receipt, kind=TokenKind.RECEIPT, keys=keys.payment, now=tx.now, issuer="payment")
    word = _convert(claims, Receipt)
    _check_subject(word, proven)
    fee = proven.document.fee
    if (word.amount_minor, word.currency) != (fee.amount_minor, fee.currency):
        raise ProofRefused("something else was paid than the document's fee")
    return word


def _check_subject(word: Receipt | _Entitlement, proven: Attested) -> None:
    if word.sub != proven.document.renewal_id:
        raise ProofRefused("the receipt or entitlement is of another renewal")
    if word.document_sha256 != proven.sha256:
        raise ProofRefused("the receipt or entitlement is of another document")


def _check_parties(signed: Document, word: _Attestation) -> None:
    if word.sub != word.ar.id:
        raise ProofRefused("the attestation is of another AR")
    if (signed.subscriber.id, signed.subscriber.name) != (word.subscriber.id, word.subscriber.name):
        raise ProofRefused("the document names another subscriber")
    signer = signed.authorised_representative
    if (signer.id, signer.name) != (word.ar.id, word.ar.name):
        raise ProofRefused("the document names another AR")


def _check_items(signed: Document) -> None:
    if not signed.items:
        raise ProofRefused("no items")
    if signed.is_reissue:
        _check_free(signed)
    elif any(item.amount_minor <= 0 for item in signed.items):
        raise ProofRefused("an item without a fee")
    if sum(item.amount_minor for item in signed.items) != signed.fee.amount_minor:
        raise ProofRefused("the fee is not the sum of its items")
    if len({item.item_id for item in signed.items}) != len(signed.items):
        raise ProofRefused("an item occurs twice")


def _check_free(signed: Document) -> None:
    if any(item.amount_minor != 0 for item in signed.items):
        raise ProofRefused("a reissue with a fee")
    if any(item.paid_until is None for item in signed.items):
        raise ProofRefused("a reissue without the period that is paid for")


def read(text: str) -> Document:
    """Return a document without verifying it. Raises ProofRefused."""
    try:
        return msgspec.json.decode(text, type=Document)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ProofRefused(f"the document lacks what its readers need: {error}") from error


def _convert(claims: Claims, kind: type[T]) -> T:
    try:
        return msgspec.convert(claims, kind)
    except msgspec.ValidationError as error:
        raise ProofRefused(f"a proof lacks what its readers need: {error}") from error
