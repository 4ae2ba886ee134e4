"""SQL of renewals, their e-mails and refunds; never commits.

Lock order of this service: renewals in the order of their ids, then their e-mails and envelopes, then posting batches.
A claim locks one e-mail, or one envelope and its batch, and no renewal.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg.rows import class_row, kwargs_row
from psycopg.types.json import Jsonb

from services.mailing.domain import (
    Contact,
    Item,
    Mail,
    MailState,
    Refund,
    Renewal,
    Sending,
    SentMail,
    Template,
)
from shared.db import Conn
from shared.events.application import RefundDue
from shared.events.mailing import CSRRequestSent
from shared.runtime.pruning import Rule
from shared.vocabulary import Language, RenewalId, SubscriberId

# The reference stays: operators find the e-mail by it. An unconfirmed e-mail keeps its text until an operator has
# decided.
BODIES: Final = Rule(
    table="mails",
    keep=((date(2026, 1, 1), timedelta(days=180)),),
    statement="""UPDATE mails SET blanked_at = %(now)s,
                   content = jsonb_build_object('reference', content -> 'reference')
                 WHERE id IN (
                   SELECT id FROM mails
                   WHERE blanked_at IS NULL AND state IN ('sent', 'bounced', 'dropped') AND settled_at < %(before)s
                   ORDER BY settled_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)""",
)
OLDEST_DUE: Final = """SELECT 'send', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float FROM mails
                       WHERE state IN ('queued', 'sending') AND due_at <= %(now)s
                       UNION ALL
                       SELECT 'print', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(received_at)), 0)::float
                       FROM pin_envelopes WHERE state IN ('sealed', 'printing')"""


def lock_renewal(conn: Conn, renewal_id: RenewalId) -> Renewal:
    """Lock the renewal's row, creating it if needed: two topics announce it, and either may come first."""
    with conn.cursor(row_factory=kwargs_row(_renewal)) as cursor:
        renewal = cursor.execute(
            """INSERT INTO renewals (renewal_id) VALUES (%s)
               ON CONFLICT (renewal_id) DO UPDATE SET renewal_id = EXCLUDED.renewal_id
               RETURNING renewal_id, reference, language, subscriber, recipient_name, recipient_address, items,
                         cancelled_at""",
            (renewal_id,),
        ).fetchone()
    assert renewal is not None
    return renewal


def lock_renewals_of_batch(conn: Conn, number: int) -> None:
    """Lock the renewals of a closed batch's letters, in the order in which the consumer locks renewals."""
    conn.execute(
        """SELECT 1 FROM renewals WHERE renewal_id IN (
               SELECT renewal_id FROM pin_envelopes WHERE batch_id = (
                   SELECT id FROM posting_batches WHERE number = %s AND state = 'closed'))
           ORDER BY renewal_id FOR UPDATE""",
        (number,),
    )


def lock_renewal_of_envelope(conn: Conn, envelope_id: uuid.UUID) -> None:
    """Lock a letter's renewal, before the letter itself."""
    conn.execute(
        """SELECT 1 FROM renewals WHERE renewal_id = (SELECT renewal_id FROM pin_envelopes WHERE envelope_id = %s)
           FOR UPDATE""",
        (envelope_id,),
    )


def lock_renewal_of_mail(conn: Conn, message_id: str) -> None:
    """Lock a mail's renewal, before the mail itself."""
    conn.execute(
        "SELECT 1 FROM renewals WHERE renewal_id = (SELECT renewal_id FROM mails WHERE message_id = %s) FOR UPDATE",
        (message_id,),
    )


def _renewal(
    renewal_id: uuid.UUID,
    reference: str | None,
    language: str | None,
    subscriber: str | None,
    recipient_name: str | None,
    recipient_address: str | None,
    items: list[Any] | None,
    cancelled_at: datetime | None,
) -> Renewal:
    contact = None
    if reference and language and subscriber is not None and recipient_name is not None and recipient_address:
        contact = Contact(
            reference=reference,
            language=Language(language),
            subscriber=subscriber,
            recipient_name=recipient_name,
            recipient_address=recipient_address,
            items=msgspec.convert(items, tuple[Item, ...]),
        )
    return Renewal(renewal_id=RenewalId(renewal_id), contact=contact, cancelled_at=cancelled_at)


def save_contact(conn: Conn, renewal_id: RenewalId, contact: Contact) -> None:
    """Store the contact of the renewal."""
    conn.execute(
        """UPDATE renewals SET reference = %s, language = %s, subscriber = %s, recipient_name = %s,
                  recipient_address = %s, items = %s
           WHERE renewal_id = %s""",
        (
            contact.reference,
            contact.language,
            contact.subscriber,
            contact.recipient_name,
            contact.recipient_address,
            Jsonb([asdict(item) | {"item_id": str(item.item_id)} for item in contact.items]),
            renewal_id,
        ),
    )


def save_cancelled(conn: Conn, renewal_id: RenewalId, now: datetime) -> None:
    """Record that the renewal has ended; later letters for it are not sent."""
    conn.execute("UPDATE renewals SET cancelled_at = %s WHERE renewal_id = %s", (now, renewal_id))


def add_mail(conn: Conn, mail: Mail, now: datetime, due_at: datetime) -> bool:
    """Queue an e-mail, unless the same one was queued before."""
    changed = conn.execute(
        """INSERT INTO mails (id, renewal_id, subscriber_id, item_id, occasion, template, language, recipient_name,
                              recipient_address, message_id, content, traceparent, state, queued_at, due_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'queued', %s, %s)
           ON CONFLICT (renewal_id, template, recipient_address, item_id, occasion) DO NOTHING""",
        (
            mail.id,
            mail.renewal_id,
            mail.subscriber_id,
            mail.item_id,
            mail.occasion,
            mail.template,
            mail.language,
            mail.recipient_name,
            mail.recipient_address,
            mail.message_id,
            Jsonb(mail.content),
            mail.traceparent,
            now,
            due_at,
        ),
    )
    return changed.rowcount == 1


def find_language(conn: Conn, address: str) -> Language | None:
    """Return the language of the newest e-mail about a renewal to this address."""
    row = conn.execute(
        """SELECT language FROM mails WHERE recipient_address = %s AND renewal_id IS NOT NULL
           ORDER BY queued_at DESC LIMIT 1""",
        (address,),
    ).fetchone()
    return None if row is None else Language(row[0])


def claim_due_mail(conn: Conn, now: datetime, leased_until: datetime) -> Sending | None:
    """Claim the e-mail that has been due longest. If an earlier attempt never ended, it counts as a repetition."""
    with conn.cursor(row_factory=kwargs_row(_sending)) as cursor:
        return cursor.execute(
            """UPDATE mails SET state = 'sending', tries = tries + 1, dated_at = COALESCE(dated_at, %(now)s),
                      repeats = repeats + (state = 'sending')::int, due_at = %(leased_until)s
               WHERE id = (SELECT id FROM mails WHERE state IN ('queued', 'sending') AND due_at <= %(now)s
                           ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING id, renewal_id, subscriber_id, template, language, recipient_name, recipient_address,
                         message_id, content, traceparent, dated_at, queued_at, tries, repeats""",
            {"now": now, "leased_until": leased_until},
        ).fetchone()


def is_cancelled(conn: Conn, renewal_id: RenewalId) -> bool:
    """Return whether the renewal has ended without a certificate."""
    row = conn.execute("SELECT cancelled_at IS NOT NULL FROM renewals WHERE renewal_id = %s", (renewal_id,)).fetchone()
    return row is not None and bool(row[0])


def was_announced_sent(conn: Conn, mail: Mail) -> bool:
    """Return whether the e-mail was announced as sent although its row does not say so: the database was restored."""
    row = conn.execute(
        """SELECT 1 FROM outbox WHERE topic = %s AND key = %s AND type = %s
           AND convert_from(data, 'UTF8')::json ->> 'message_id' = %s LIMIT 1""",
        (CSRRequestSent.TOPIC, str(mail.renewal_id), CSRRequestSent.TYPE, mail.message_id),
    ).fetchone()
    return row is not None


def _sending(
    *,
    id: uuid.UUID,
    renewal_id: uuid.UUID | None,
    subscriber_id: str | None,
    template: str,
    language: str,
    recipient_name: str,
    recipient_address: str,
    message_id: str,
    content: dict[str, object],
    traceparent: str | None,
    dated_at: datetime,
    queued_at: datetime,
    tries: int,
    repeats: int,
) -> Sending:
    mail = Mail(
        id=id,
        renewal_id=None if renewal_id is None else RenewalId(renewal_id),
        subscriber_id=None if subscriber_id is None else SubscriberId(subscriber_id),
        template=Template(template),
        language=Language(language),
        recipient_name=recipient_name,
        recipient_address=recipient_address,
        message_id=message_id,
        content=content,
        traceparent=traceparent,
    )
    return Sending(mail=mail, dated_at=dated_at, queued_at=queued_at, tries=tries, repeats=repeats)


def settle(conn: Conn, sending: Sending, state: MailState, now: datetime, reply_code: int | None = None) -> bool:
    """Record the outcome of this attempt, unless another process has claimed the e-mail since."""
    changed = conn.execute(
        """UPDATE mails SET state = %s, settled_at = %s, reply_code = %s
           WHERE id = %s AND state = 'sending' AND tries = %s""",
        (state, now, reply_code, sending.mail.id, sending.tries),
    )
    return changed.rowcount == 1


def put_off(conn: Conn, sending: Sending, due_at: datetime, *, state: MailState) -> None:
    """Schedule the next attempt: from `queued` if the e-mail was certainly not accepted, from `sending` if that is
    unknown.
    """
    conn.execute(
        "UPDATE mails SET state = %s, due_at = %s WHERE id = %s AND state = 'sending' AND tries = %s",
        (state, due_at, sending.mail.id, sending.tries),
    )


def requeue(conn: Conn, mail_id: uuid.UUID, now: datetime) -> str | None:
    """Queue a bounced or unconfirmed e-mail again. Returns its renewal's or subscriber's id; None if it is neither."""
    row = conn.execute(
        """UPDATE mails SET state = 'queued', repeats = 0, queued_at = %(now)s, due_at = %(now)s, settled_at = NULL,
                  reply_code = NULL
           WHERE id = %(id)s AND state IN ('bounced', 'unconfirmed')
           RETURNING COALESCE(renewal_id::text, subscriber_id)""",
        {"now": now, "id": mail_id},
    ).fetchone()
    return None if row is None else str(row[0])


def lock_mail(conn: Conn, message_id: str) -> SentMail | None:
    """Return an e-mail by its Message-ID, locked."""
    with conn.cursor(row_factory=kwargs_row(_sent_mail)) as cursor:
        return cursor.execute(
            """SELECT id, renewal_id, subscriber_id, template, state, traceparent FROM mails
               WHERE message_id = %s FOR UPDATE""",
            (message_id,),
        ).fetchone()


def _sent_mail(
    *,
    id: uuid.UUID,
    renewal_id: uuid.UUID | None,
    subscriber_id: str | None,
    template: str,
    state: str,
    traceparent: str | None,
) -> SentMail:
    return SentMail(
        id=id,
        renewal_id=None if renewal_id is None else RenewalId(renewal_id),
        subscriber_id=None if subscriber_id is None else SubscriberId(subscriber_id),
        template=Template(template),
        state=MailState(state),
        traceparent=traceparent,
    )


def save_bounced(conn: Conn, mail_id: uuid.UUID, reply_code: int, now: datetime) -> None:
    """Record the bounce of an accepted e-mail."""
    conn.execute(
        """UPDATE mails SET state = 'bounced', reply_code = %s, settled_at = %s
           WHERE id = %s AND state IN ('sent', 'unconfirmed')""",
        (reply_code, now, mail_id),
    )


def drop_queued_mails(conn: Conn, renewal_id: RenewalId, templates: Iterable[Template], now: datetime) -> int:
    """Drop e-mails that are not sent yet. Returns their number. An attempt that is under way is not stopped."""
    return conn.execute(
        """UPDATE mails SET state = 'dropped', settled_at = %s
           WHERE renewal_id = %s AND template = ANY(%s) AND state = 'queued'""",
        (now, renewal_id, list(templates)),
    ).rowcount


def add_refund(conn: Conn, event: RefundDue) -> bool:
    """Store a refund. Returns False if it is known."""
    changed = conn.execute(
        """INSERT INTO refunds (refund_id, renewal_id, item_id, amount_minor, currency, cause)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (event.refund_id, event.renewal_id, event.item_id, event.amount_minor, event.currency, event.cause),
    )
    return changed.rowcount == 1


def drop_earlier_mails(conn: Conn, mail: Mail, now: datetime) -> int:
    """Drop e-mails about the same item on another occasion that are not sent yet. Returns their number."""
    return conn.execute(
        """UPDATE mails SET state = 'dropped', settled_at = %s
           WHERE renewal_id = %s AND template = %s AND item_id = %s AND occasion <> %s AND state = 'queued'""",
        (now, mail.renewal_id, mail.template, mail.item_id, mail.occasion),
    ).rowcount


def find_refunds(conn: Conn, renewal_id: RenewalId) -> Sequence[Refund]:
    """Return all refunds of a renewal."""
    with conn.cursor(row_factory=class_row(Refund)) as cursor:
        return cursor.execute(
            "SELECT item_id, amount_minor, currency, cause FROM refunds WHERE renewal_id = %s AND NOT is_repeat",
            (renewal_id,),
        ).fetchall()
