"""CSR request of a paid renewal: made if the signer is still the AR of record; else on hold until its release."""

from services.application import store, timeline_store
from services.application.domain import Hold, Release, Renewal
from services.application.refusals import ARStillChanged, RenewalNotFound
from services.application.timeline import Details, TimelineEvent
from shared import audit
from shared.events.application import CSRRequested
from shared.messaging import outbox
from shared.tx import Tx
from shared.vocabulary import RenewalId


def ask_for_csrs(tx: Tx, renewal: Renewal) -> None:
    """Request the CSRs from the AR; put the renewal on hold if the AR of record has changed."""
    if not _is_of_record(tx, renewal):
        store.save_transition(tx.conn, renewal, renewal.after(Hold, tx.now), tx.now)
        audit.record(tx, actor="application", action="renewal-held", subject=str(renewal.id))
        timeline_store.add_event(tx, renewal.id, TimelineEvent.ON_HOLD, details=Details(reason="ar-changed"))
        return
    assert renewal.attestation is not None
    assert renewal.receipt is not None
    outbox.add(
        tx,
        CSRRequested(
            renewal_id=renewal.id,
            language=renewal.language,
            document=renewal.document,
            attestation=renewal.attestation,
            receipt=renewal.receipt,
        ),
    )


def _is_of_record(tx: Tx, renewal: Renewal) -> bool:
    return store.find_ars_of_record(tx.conn, renewal.id) == {renewal.ar_id}


def release(tx: Tx, renewal_id: RenewalId, actor: str) -> None:
    """Release a renewal on hold, once the signer is the AR of record again.

    The AR of record comes from the register, by an import; operators cannot override it here. A renewal whose AR was
    replaced for good is cancelled by the new AR or ends at its deadline, and is refunded. Raises RenewalNotFound,
    InvalidTransition, ARStillChanged.
    """
    was = store.lock_renewal(tx.conn, renewal_id)
    if was is None:
        raise RenewalNotFound("there is no such renewal")
    renewal = was.after(Release, tx.now)
    if not _is_of_record(tx, renewal):
        raise ARStillChanged("the signer is not the AR of record of every subscription; import the register first")
    store.save_transition(tx.conn, was, renewal, tx.now)
    audit.record(tx, actor=actor, action="renewal-released", subject=str(renewal.id))
    timeline_store.add_event(tx, renewal.id, TimelineEvent.RELEASED)
    ask_for_csrs(tx, renewal)
