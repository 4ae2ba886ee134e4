"""The document that the AR signs: canonical JSON (RFC 8785) that says in plain words what is agreed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785

from services.application import terms
from services.application.domain import CURRENCY, Item, Subscription
from shared.events.base import Language, RenewalId

PURPOSE: Final = "hk.ecert.renewal-application.v1"
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
    renewal_id: RenewalId,
    reference: str,
    nonce: str,
    language: Language,
    now: datetime,
    subscription: Subscription,
    items: Sequence[Item],
) -> Document:
    """Write the document of a draft; the same input gives the same bytes."""
    agreed = terms.find()
    content: dict[str, Any] = {
        "purpose": PURPOSE,
        "renewal_id": str(renewal_id),
        "reference": reference,
        "nonce": nonce,
        "language": str(language),
        "created_at": now.isoformat().replace("+00:00", "Z"),
        "subscriber": {"id": subscription.subscriber_id, "name": subscription.subscriber_name},
        "authorised_representative": {"id": subscription.ar_id, "name": subscription.ar_name},
        "items": [_item(item) for item in items],
        "fee": {"amount_minor": sum(item.amount_minor for item in items), "currency": CURRENCY},
        "declarations": list(DECLARATIONS),
        "terms": {"version": agreed.version, "sha256": agreed.sha256},
    }
    raw = rfc8785.dumps(content)
    return Document(text=raw.decode(), sha256=hashlib.sha256(raw).hexdigest())


def _item(item: Item) -> dict[str, Any]:
    return {
        "item_id": str(item.id),
        "reference": item.reference,
        "srn": item.srn,
        "product": str(item.product),
        "server_names": list(item.server_names),
        "additional_servers": item.additional_servers,
        "current_serial": item.current_serial,
        "amount_minor": item.amount_minor,
    }
