"""What identity attested of a renewal: who its AR is and which document they signed. Nothing else is believed."""

import hashlib
import uuid

import msgspec

from services.mailing.domain import PRODUCT_NAMES, AttestationMismatch, Contact, Item, mail_address, one_line
from shared.events.application import CSRRequested
from shared.events.base import ItemId, Product
from shared.tokens import KeySet, TokenKind, verify
from shared.tx import Tx


class _Subscriber(msgspec.Struct):
    name: str


class _AR(msgspec.Struct):
    name: str
    email: str


class _Claims(msgspec.Struct):
    renewal_id: uuid.UUID
    document_sha256: str
    subscriber: _Subscriber
    ar: _AR


class _Item(msgspec.Struct):
    item_id: uuid.UUID
    reference: str
    product: Product
    server_names: list[str]


class _Document(msgspec.Struct):
    renewal_id: uuid.UUID
    reference: str
    items: list[_Item]


def read(event: CSRRequested, tx: Tx, keys: KeySet) -> Contact:
    """The renewal's contact and items. Raises TokenRefused, AttestationMismatch or AddressRefused."""
    claims = _claims(event, tx, keys)
    if claims.renewal_id != event.renewal_id:
        raise AttestationMismatch("the attestation is of another renewal")
    if claims.document_sha256 != hashlib.sha256(event.document.encode()).hexdigest():
        raise AttestationMismatch("the attestation is of another document")
    document = _document(event)
    if document.renewal_id != event.renewal_id:
        raise AttestationMismatch("the document is of another renewal")
    return Contact(
        reference=one_line(document.reference),
        language=event.language,
        subscriber=one_line(claims.subscriber.name),
        recipient_name=one_line(claims.ar.name),
        recipient_address=mail_address(claims.ar.email),
        items=tuple(_item(item) for item in document.items),
    )


def _claims(event: CSRRequested, tx: Tx, keys: KeySet) -> _Claims:
    claims = verify(event.attestation, kind=TokenKind.ATTESTATION, keys=keys, now=tx.now, issuer="identity")
    try:
        return msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise AttestationMismatch(f"the attestation lacks what a mail needs: {error}") from error


def _document(event: CSRRequested) -> _Document:
    try:
        return msgspec.json.decode(event.document, type=_Document)
    except msgspec.MsgspecError as error:
        raise AttestationMismatch(f"the document lacks what a mail needs: {error}") from error


def _item(item: _Item) -> Item:
    return Item(
        item_id=ItemId(item.item_id),
        reference=one_line(item.reference),
        product=PRODUCT_NAMES[item.product],
        server_names=tuple(one_line(name) for name in item.server_names),
    )
