"""Nothing on application's word: what identity attested and payment received, checked against the document."""

import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from services.issuance.domain import Order, ProofRefused, Renewal
from services.issuance.profiles import Organisation
from services.issuance.sealing import Recipient
from shared.events.base import ARId, ItemId, Product, RenewalId, SubscriberId
from shared.pki.names import server_name
from shared.tokens import KeySet, TokenKind, verify
from shared.tx import Tx

PURPOSE: Final = "hk.ecert.renewal-application.v1"


@dataclass(frozen=True)
class ProofKeys:
    """The public keys of those whose word counts."""

    identity: KeySet
    payment: KeySet


class _Subscriber(msgspec.Struct, frozen=True):
    id: str
    name: str
    country: str
    state_or_province: str | None = None
    locality: str | None = None


class _AR(msgspec.Struct, frozen=True):
    id: str
    name: str
    address: list[str]


class _Attestation(msgspec.Struct, frozen=True):
    sub: str
    renewal_id: uuid.UUID
    document_sha256: str
    subscriber: _Subscriber
    ar: _AR


class _Receipt(msgspec.Struct, frozen=True):
    sub: uuid.UUID
    amount_minor: int
    currency: str
    document_sha256: str


class _Party(msgspec.Struct, frozen=True):
    id: str
    name: str


class _Item(msgspec.Struct, frozen=True):
    item_id: uuid.UUID
    reference: str
    srn: str
    product: Product
    server_names: list[str]
    amount_minor: int


class _Fee(msgspec.Struct, frozen=True):
    amount_minor: int
    currency: str


class _Document(msgspec.Struct, frozen=True):
    purpose: str
    renewal_id: uuid.UUID
    reference: str
    subscriber: _Party
    authorised_representative: _Party
    items: list[_Item]
    fee: _Fee


def verified(
    renewal_id: RenewalId, *, document: str, attestation: str, receipt: str, keys: ProofKeys, tx: Tx
) -> tuple[Renewal, tuple[Order, ...]]:
    """The renewal and its orders, if both proofs bind this very document. Raises TokenRefused or ProofRefused."""
    attested = _convert(
        verify(attestation, kind=TokenKind.ATTESTATION, keys=keys.identity, now=tx.now, issuer="identity"), _Attestation
    )
    paid = _convert(verify(receipt, kind=TokenKind.RECEIPT, keys=keys.payment, now=tx.now, issuer="payment"), _Receipt)
    signed = _document(document)
    _check_binding(renewal_id, sha256(document.encode()).hexdigest(), signed, attested, paid)
    _check_parties(signed, attested)
    _check_fee(signed, paid)
    renewal = Renewal(
        renewal_id=renewal_id,
        reference=signed.reference,
        subscriber_id=SubscriberId(attested.subscriber.id),
        ar_id=ARId(attested.ar.id),
        organisation=Organisation(
            name=attested.subscriber.name,
            country=attested.subscriber.country,
            state_or_province=attested.subscriber.state_or_province,
            locality=attested.subscriber.locality,
        ),
        recipient=Recipient(
            name=attested.ar.name, organisation=attested.subscriber.name, address=tuple(attested.ar.address)
        ),
        document=document,
        attestation=attestation,
        receipt=receipt,
    )
    return renewal, tuple(_order(renewal_id, position, item) for position, item in enumerate(signed.items, start=1))


def _check_binding(
    renewal_id: RenewalId, digest: str, signed: _Document, attested: _Attestation, paid: _Receipt
) -> None:
    if signed.purpose != PURPOSE:
        raise ProofRefused("the document is no renewal application")
    if {signed.renewal_id, attested.renewal_id, paid.sub} != {renewal_id}:
        raise ProofRefused("a proof is of another renewal")
    if {attested.document_sha256, paid.document_sha256} != {digest}:
        raise ProofRefused("a proof is of another document")


def _check_parties(signed: _Document, attested: _Attestation) -> None:
    if attested.sub != attested.ar.id:
        raise ProofRefused("the attestation is of another AR")
    if (signed.subscriber.id, signed.subscriber.name) != (attested.subscriber.id, attested.subscriber.name):
        raise ProofRefused("the document names another subscriber")
    if (signed.authorised_representative.id, signed.authorised_representative.name) != (
        attested.ar.id,
        attested.ar.name,
    ):
        raise ProofRefused("the document names another AR")


def _check_fee(signed: _Document, paid: _Receipt) -> None:
    if not signed.items or any(item.amount_minor <= 0 for item in signed.items):
        raise ProofRefused("no items, or one without a fee")
    if sum(item.amount_minor for item in signed.items) != signed.fee.amount_minor:
        raise ProofRefused("the fee is not the sum of its items")
    if (paid.amount_minor, paid.currency) != (signed.fee.amount_minor, signed.fee.currency):
        raise ProofRefused("something else was paid than the document's fee")
    if len({item.item_id for item in signed.items}) != len(signed.items):
        raise ProofRefused("an item occurs twice")


def _order(renewal_id: RenewalId, position: int, item: _Item) -> Order:
    names = tuple(server_name(name) for name in item.server_names)  # raises NameRefused, which is Refused too
    wildcards = sum(name.startswith("*.") for name in names)
    fits = {
        Product.STANDARD: len(names) == 1 and wildcards == 0,
        Product.WILDCARD: len(names) == 1 and wildcards == 1,
        Product.MULTI_DOMAIN: len(names) >= 1 and wildcards == 0,
    }
    if list(names) != item.server_names or len(set(names)) != len(names) or not fits[item.product]:
        raise ProofRefused("server names that do not fit the product")
    return Order(
        item_id=ItemId(item.item_id),
        renewal_id=renewal_id,
        position=position,
        reference=item.reference,
        srn=item.srn,
        product=item.product,
        server_names=names,
    )


def _document(text: str) -> _Document:
    try:
        return msgspec.json.decode(text, type=_Document)
    except msgspec.MsgspecError as error:
        raise ProofRefused(f"the document lacks what an order needs: {error}") from error


def _convert(claims: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(claims, kind)
    except msgspec.ValidationError as error:
        raise ProofRefused(f"a proof lacks what an order needs: {error}") from error
