"""What a renewal rests on: identity's word who signed which document, payment's word what was paid for it.

Whoever acted on application's word alone could be sent by an intruder there. So each reader verifies for itself, with
the public keys, that both words are about this very document.
"""

import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from shared.errors import Refused
from shared.events.base import Language, Product, RenewalId, UTCTime
from shared.security.tokens import Claims, KeySet, TokenKind, verify
from shared.tx import Tx

PURPOSE: Final = "hk.ecert.renewal-application.v1"
T = TypeVar("T")


class ProofRefused(Refused):
    """The attestation, the receipt and the document do not belong together."""

    reason = "proof-refused"


@dataclass(frozen=True)
class ProofKeys:
    """The public keys of those whose word counts."""

    identity: KeySet
    payment: KeySet


class Subscriber(msgspec.Struct, frozen=True):
    """The organisation, from identity's records."""

    id: str
    name: str
    country: str
    state_or_province: str | None = None
    locality: str | None = None


class AR(msgspec.Struct, frozen=True):
    """The signer, from identity's records: mail and post go to nobody else."""

    id: str
    name: str
    email: str
    address: list[str]


class _Attestation(msgspec.Struct, frozen=True):
    sub: str
    renewal_id: uuid.UUID
    document_sha256: str
    subscriber: Subscriber
    ar: AR


class Receipt(msgspec.Struct, frozen=True):
    """What payment received for the document."""

    sub: uuid.UUID
    amount_minor: int
    currency: str
    document_sha256: str
    captured_at: UTCTime


class _Party(msgspec.Struct, frozen=True):
    id: str
    name: str


class DocumentItem(msgspec.Struct, frozen=True):
    """One certificate, as the AR signed for it."""

    item_id: uuid.UUID
    reference: str
    srn: str
    product: Product
    server_names: list[str]
    amount_minor: int


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


@dataclass(frozen=True)
class Attested:
    """A document with who signed it."""

    document: Document
    sha256: str
    subscriber: Subscriber
    ar: AR


def attested(renewal_id: RenewalId, *, document: str, attestation: str, keys: KeySet, tx: Tx) -> Attested:
    """The document, if identity attested this renewal's AR's signature of it. Raises TokenRefused or ProofRefused."""
    claims = verify(attestation, kind=TokenKind.ATTESTATION, keys=keys, now=tx.now, issuer="identity")
    word = _convert(claims, _Attestation)
    signed = read(document)
    digest = sha256(document.encode()).hexdigest()
    if signed.purpose != PURPOSE:
        raise ProofRefused("the document is no renewal application")
    if {signed.renewal_id, word.renewal_id} != {renewal_id}:
        raise ProofRefused("the attestation or the document is of another renewal")
    if word.document_sha256 != digest:
        raise ProofRefused("the attestation is of another document")
    _check_parties(signed, word)
    _check_items(signed)
    return Attested(document=signed, sha256=digest, subscriber=word.subscriber, ar=word.ar)


def paid(proven: Attested, *, receipt: str, keys: KeySet, tx: Tx) -> Receipt:
    """The receipt, if payment received the document's whole fee for it. Raises TokenRefused or ProofRefused."""
    claims = verify(receipt, kind=TokenKind.RECEIPT, keys=keys, now=tx.now, issuer="payment")
    word = _convert(claims, Receipt)
    if word.sub != proven.document.renewal_id:
        raise ProofRefused("the receipt is of another renewal")
    if word.document_sha256 != proven.sha256:
        raise ProofRefused("the receipt is of another document")
    fee = proven.document.fee
    if (word.amount_minor, word.currency) != (fee.amount_minor, fee.currency):
        raise ProofRefused("something else was paid than the document's fee")
    return word


def _check_parties(signed: Document, word: _Attestation) -> None:
    if word.sub != word.ar.id:
        raise ProofRefused("the attestation is of another AR")
    if (signed.subscriber.id, signed.subscriber.name) != (word.subscriber.id, word.subscriber.name):
        raise ProofRefused("the document names another subscriber")
    signer = signed.authorised_representative
    if (signer.id, signer.name) != (word.ar.id, word.ar.name):
        raise ProofRefused("the document names another AR")


def _check_items(signed: Document) -> None:
    if not signed.items or any(item.amount_minor <= 0 for item in signed.items):
        raise ProofRefused("no items, or one without a fee")
    if sum(item.amount_minor for item in signed.items) != signed.fee.amount_minor:
        raise ProofRefused("the fee is not the sum of its items")
    if len({item.item_id for item in signed.items}) != len(signed.items):
        raise ProofRefused("an item occurs twice")


def read(text: str) -> Document:
    """A document, not proven. Raises ProofRefused."""
    try:
        return msgspec.json.decode(text, type=Document)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ProofRefused(f"the document lacks what its readers need: {error}") from error


def _convert(claims: Claims, kind: type[T]) -> T:
    try:
        return msgspec.convert(claims, kind)
    except msgspec.ValidationError as error:
        raise ProofRefused(f"a proof lacks what its readers need: {error}") from error
