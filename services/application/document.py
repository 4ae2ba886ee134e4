"""Document that the AR signs: canonical JSON (RFC 8785) that states in plain words what is agreed."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import rfc8785

from services.application import terms
from services.application.domain import CURRENCY, Item, ItemState, Renewal, RenewalKind, RenewalState
from services.application.subscription import Subscription
from shared.vocabulary import ARId, ItemId, Language, Product, RenewalId, SubscriberId

PURPOSES: Final = {
    RenewalKind.RENEWAL: "hk.ecert.renewal-application.v1",
    RenewalKind.REISSUE: "hk.ecert.reissue-application.v1",
}
DECLARATIONS: Final = (
    "The information in this application is correct and complete.",
    "I am the Authorised Representative of the subscriber and apply on its behalf.",
    "The subscriber accepts the Subscriber Agreement and the Certification Practice Statement.",
    "The subscriber agrees to the publication of the certificates in the repository.",
    "The subscriber knows that the content of a certificate cannot be changed after it has been issued.",
)


@dataclass(frozen=True)
class Document:
    """The bytes to sign and their SHA-256 in hexadecimal."""

    text: str
    sha256: str


def write(
    *,
    kind: RenewalKind,
    renewal_id: RenewalId,
    reference: str,
    nonce: str,
    language: Language,
    now: datetime,
    subscription: Subscription,
    items: Sequence[Item],
    price_version: str | None = None,
) -> Document:
    """Write the document of a draft; the same input gives the same bytes. A reissue has no price."""
    agreed = terms.find()
    content: dict[str, Any] = {
        "purpose": PURPOSES[kind],
        "renewal_id": str(renewal_id),
        "reference": reference,
        "nonce": nonce,
        "language": str(language),
        "created_at": now.isoformat().replace("+00:00", "Z"),
        "subscriber": {"id": subscription.subscriber_id, "name": subscription.subscriber_name},
        "authorised_representative": {"id": subscription.ar_id, "name": subscription.ar_name},
        "items": [_item(item) for item in items],
        "fee": {"amount_minor": sum(item.amount_minor for item in items), "currency": CURRENCY}
        | ({} if price_version is None else {"price_version": price_version}),
        "declarations": list(DECLARATIONS),
        "terms": {"version": agreed.version, "sha256": agreed.sha256},
    }
    raw = rfc8785.dumps(content)
    return Document(text=raw.decode(), sha256=hashlib.sha256(raw).hexdigest())


def _item(item: Item) -> dict[str, Any]:
    period, present = item.period, item.present_server_names
    return {
        "item_id": str(item.id),
        "reference": item.reference,
        "srn": item.srn,
        "product": str(item.product),
        "server_names": list(item.server_names),
        **({} if present is None else {"present_server_names": list(present)}),
        "additional_servers": item.additional_servers,
        "current_serial": item.current_serial,
        "amount_minor": item.amount_minor,
        **({} if period is None else {"paid_from": f"{period.first}", "paid_until": f"{period.last}"}),
    }


def read(text: str) -> tuple[Renewal, list[Item]]:
    """Return the renewal and the items of a document; the inverse of `write`.

    Raises KeyError, TypeError or ValueError for any other text.
    """
    content = json.loads(text)
    kinds = {purpose: kind for kind, purpose in PURPOSES.items()}
    renewal = Renewal(
        id=RenewalId(uuid.UUID(content["renewal_id"])),
        kind=kinds[content["purpose"]],
        reference=content["reference"],
        subscriber_id=SubscriberId(content["subscriber"]["id"]),
        subscriber_name=content["subscriber"]["name"],
        ar_id=ARId(content["authorised_representative"]["id"]),
        language=Language(content["language"]),
        state=RenewalState.DRAFT,
        document=text,
        document_sha256=hashlib.sha256(text.encode()).hexdigest(),
        amount_minor=content["fee"]["amount_minor"],
        currency=content["fee"]["currency"],
        created_at=datetime.fromisoformat(content["created_at"]),
    )
    return renewal, [_read_item(renewal.id, position, item) for position, item in enumerate(content["items"], start=1)]


def _read_item(renewal_id: RenewalId, position: int, content: dict[str, Any]) -> Item:
    present = content.get("present_server_names")
    return Item(
        id=ItemId(uuid.UUID(content["item_id"])),
        renewal_id=renewal_id,
        position=position,
        reference=content["reference"],
        srn=content["srn"],
        product=Product(content["product"]),
        server_names=tuple(content["server_names"]),
        additional_servers=content["additional_servers"],
        current_serial=content["current_serial"],
        amount_minor=content["amount_minor"],
        state=ItemState.PENDING,
        present_server_names=None if present is None else tuple(present),
        paid_from=_read_day(content.get("paid_from")),
        paid_until=_read_day(content.get("paid_until")),
    )


def _read_day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
