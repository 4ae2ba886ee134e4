"""Orders of a renewal, derived from its two proofs: identity's attestation, and the receipt or entitlement."""

from services.issuance.domain import Order, Organisation, Recipient, Renewal
from shared.security import proofs
from shared.security.proofs import DocumentItem, ProofKeys
from shared.tx import Tx
from shared.vocabulary import ARId, ItemId, RenewalId, SubscriberId


def verified(
    tx: Tx, renewal_id: RenewalId, *, document: str, attestation: str, receipt: str, keys: ProofKeys
) -> tuple[Renewal, tuple[Order, ...]]:
    """Return the renewal and its orders, if both proofs bind this document. Raises TokenRefused or ProofRefused."""
    proven = proofs.attested(renewal_id, document=document, attestation=attestation, keys=keys.identity, tx=tx)
    proofs.settled(proven, receipt=receipt, keys=keys, tx=tx)
    subscriber, ar = proven.subscriber, proven.ar
    renewal = Renewal(
        renewal_id=renewal_id,
        reference=proven.document.reference,
        subscriber_id=SubscriberId(subscriber.id),
        ar_id=ARId(ar.id),
        organisation=Organisation(
            name=subscriber.name,
            country=subscriber.country,
            state_or_province=subscriber.state_or_province,
            locality=subscriber.locality,
        ),
        recipient=Recipient(name=ar.name, organisation=subscriber.name, address=tuple(ar.address)),
        document=document,
        attestation=attestation,
        receipt=receipt,
    )
    items = enumerate(proven.document.items, start=1)
    return renewal, tuple(
        _order(renewal_id, position, item, reissue=proven.document.is_reissue) for position, item in items
    )


def _order(renewal_id: RenewalId, position: int, item: DocumentItem, *, reissue: bool) -> Order:
    return Order(
        item_id=ItemId(item.item_id),
        renewal_id=renewal_id,
        position=position,
        reference=item.reference,
        srn=item.srn,
        product=item.product,
        server_names=tuple(item.server_names),
        reissue=reissue,
        paid_until=item.paid_until,
    )
