"""Operators' reports about post and e-mail: registered numbers, returned letters, bounces."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import psycopg

from services.mailing import envelope_store, manifest, store
from services.mailing.bounces import Failure
from services.mailing.domain import EnvelopeState, MailState, PINEnvelope
from services.mailing.refusals import PostingRefused, ReportRefused
from shared import audit
from shared.events.mailing import MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from shared.messaging import outbox
from shared.tx import Tx


@dataclass(frozen=True, kw_only=True)
class Posted:
    """The result of a manifest: numbers recorded now, numbers recorded before, letters without a number."""

    recorded: int
    known: int
    missing: int


def record_posted(tx: Tx, batch: str, numbers: Mapping[uuid.UUID, str], posted_on: date, *, actor: str) -> Posted:
    """Record a batch's registered numbers, all or none. Raises PostingRefused."""
    store.lock_renewals_of_batch(tx.conn, manifest.batch_number(batch))
    envelopes = envelope_store.lock_envelopes_of_batch(tx.conn, manifest.batch_number(batch))
    if not envelopes:
        raise PostingRefused(f"{batch} is not a closed batch")
    if strangers := numbers.keys() - {envelope.envelope_id for envelope in envelopes}:
        raise PostingRefused(f"not in {batch}: {', '.join(sorted(map(str, strangers)))}")
    recorded = known = 0
    for envelope in envelopes:
        number = numbers.get(envelope.envelope_id)
        if number is None:
            continue
        if _post(tx, envelope, number, posted_on, actor):
            recorded += 1
        else:
            known += 1
    unnumbered = [e for e in envelopes if e.state is EnvelopeState.PRINTED and e.envelope_id not in numbers]
    return Posted(recorded=recorded, known=known, missing=len(unnumbered))


def _post(tx: Tx, envelope: PINEnvelope, number: str, posted_on: date, actor: str) -> bool:
    if envelope.state is not EnvelopeState.PRINTED:
        if envelope.registered_number == number:
            return False
        raise PostingRefused(f"{envelope.envelope_id} was posted as {envelope.registered_number}")
    try:
        envelope_store.save_posted(tx.conn, envelope.envelope_id, number, posted_on, tx.now)
    except psycopg.errors.UniqueViolation as error:
        raise PostingRefused(f"{number} was given to another letter before") from error
    outbox.add(
        replace(tx, traceparent=envelope.traceparent),
        PINEnvelopePosted(
            renewal_id=envelope.renewal_id,
            item_id=envelope.item_id,
            envelope_id=envelope.envelope_id,
            server_name=envelope.server_name,
            registered_number=number,
            posted_on=posted_on,
        ),
    )
    _record_audit(tx, actor, "envelope-posted", envelope, registered_number=number)
    return True


def record_returned(tx: Tx, envelope_id: uuid.UUID, reason: str, returned_on: date, *, actor: str) -> bool:
    """Record a returned letter. Returns False if it is recorded already. Raises PostingRefused."""
    store.lock_renewal_of_envelope(tx.conn, envelope_id)
    envelope = envelope_store.lock_envelope(tx.conn, envelope_id)
    if envelope is None:
        raise PostingRefused(f"{envelope_id} was never printed")
    if envelope.state is EnvelopeState.RETURNED:
        return False
    if envelope.state is not EnvelopeState.POSTED or envelope.posted_on is None or returned_on < envelope.posted_on:
        raise PostingRefused(f"{envelope_id} had not been posted by then")
    envelope_store.save_returned(tx.conn, envelope_id, reason, returned_on)
    outbox.add(
        replace(tx, traceparent=envelope.traceparent),
        PINEnvelopeReturned(
            renewal_id=envelope.renewal_id,
            item_id=envelope.item_id,
            envelope_id=envelope_id,
            reason=reason,
            returned_on=returned_on,
        ),
    )
    _record_audit(tx, actor, "envelope-returned", envelope, reason=reason)
    return True


def record_withdrawn(tx: Tx, envelope_id: uuid.UUID, reason: str, *, actor: str) -> None:
    """Record a printed letter that will not be posted: spoiled, or its renewal has ended. Raises PostingRefused."""
    envelope = envelope_store.lock_envelope(tx.conn, envelope_id)
    if envelope is None or envelope.state is not EnvelopeState.PRINTED:
        raise PostingRefused(f"there is no printed envelope {envelope_id} that has not been posted")
    envelope_store.save_withdrawn(tx.conn, envelope_id, reason, tx.now)
    _record_audit(tx, actor, "envelope-withdrawn", envelope, reason=reason)


def resend(tx: Tx, mail_id: uuid.UUID, *, actor: str) -> None:
    """Queue a bounced or unconfirmed e-mail again. Raises PostingRefused."""
    about = store.requeue(tx.conn, mail_id, tx.now)
    if about is None:
        raise PostingRefused(f"there is no bounced or unconfirmed mail {mail_id}")
    audit.record(tx, actor=actor, action="mail-resent", subject=about, details={"mail_id": str(mail_id)})


def record_bounced(tx: Tx, failure: Failure, *, actor: str) -> bool:
    """Record a bounce of an e-mail that the mail server had accepted. Returns False if it is known.

    Raises ReportRefused.
    """
    store.lock_renewal_of_mail(tx.conn, failure.message_id)
    mail = store.lock_mail(tx.conn, failure.message_id)
    if mail is None:
        raise ReportRefused("the mail that came back is not ours")
    if mail.state is MailState.BOUNCED:
        return False
    if mail.state not in (MailState.SENT, MailState.UNCONFIRMED):
        raise ReportRefused(f"the mail is {mail.state}: report it again once it is sent")
    store.save_bounced(tx.conn, mail.id, failure.reply_code, tx.now)
    if mail.renewal_id is not None:
        outbox.add(
            replace(tx, traceparent=mail.traceparent),
            MailBounced(
                renewal_id=mail.renewal_id,
                message_id=failure.message_id,
                reply_code=failure.reply_code,
                template=mail.template,
            ),
        )
    audit.record(
        tx,
        actor=actor,
        action="mail-bounced",
        subject=str(mail.renewal_id or mail.subscriber_id),
        details={"template": mail.template, "message_id": failure.message_id, "reply_code": failure.reply_code},
    )
    return True


def _record_audit(tx: Tx, actor: str, action: str, envelope: PINEnvelope, **details: str) -> None:
    named: dict[str, audit.Detail] = {"envelope_id": str(envelope.envelope_id), **details}
    audit.record(tx, actor=actor, action=action, subject=str(envelope.renewal_id), details=named)
