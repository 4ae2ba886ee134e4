"""Contact and items of a renewal, taken from identity's attestation only."""

from services.mailing.domain import Contact, Item, mail_address, one_line
from shared.security.proofs import Attested, DocumentItem
from shared.vocabulary import ItemId


def contact(proven: Attested) -> Contact:
    """Return the renewal's contact and items, in the language of the document that the AR signed.

    Raises AddressRefused.
    """
    return Contact(
        reference=one_line(proven.document.reference),
        language=proven.document.language,
        subscriber=one_line(proven.subscriber.name),
        recipient_name=one_line(proven.ar.name),
        recipient_address=mail_address(proven.ar.email),
        items=tuple(_item(item) for item in proven.document.items),
    )


def _item(item: DocumentItem) -> Item:
    return Item(
        item_id=ItemId(item.item_id),
        reference=one_line(item.reference),
        product=item.product,
        server_names=tuple(one_line(name) for name in item.server_names),
    )
