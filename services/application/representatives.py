"""Changes of Authorised Representatives in identity's register: the AR of record of their subscriptions follows."""

from services.application import representative_store
from shared import audit
from shared.errors import Ignored
from shared.events.identity import AuthorisedRepresentativeReplaced
from shared.tx import Tx


def on_ar_replaced(tx: Tx, event: AuthorisedRepresentativeReplaced) -> None:
    """Make the successor the AR of record of every subscription of their predecessor.

    Open renewals keep their signer: a renewal paid after this goes on hold, as after an import that names another AR.
    """
    srns = representative_store.move_subscriptions(
        tx.conn,
        event.subscriber_id,
        ar_id=event.ar_id,
        successor_id=event.successor_id,
        successor_name=event.successor_name,
    )
    if not srns:
        raise Ignored("the predecessor is the AR of record of no subscription")
    audit.record_each(tx, actor="application", action="subscription-moved-to-successor", subjects=srns)
