"""All SQL of mailing but that of the print process; never commits."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

import msgspec
from psycopg.rows import class_row, kwargs_row
from psycopg.types.json import Jsonb

from services.mailing.domain import (
    Contact,
    EnvelopeState,
    Item,
    Mail,
    MailState,
    PINEnvelope,
    Refund,
    Renewal,
    Sending,
    Template,
)
from shared.db import Conn
from shared.events.application import RefundDue
from shared.events.base import ItemId, Language, RenewalId
from shared.events.issuance import PINEnvelopeSealed

OLDEST_DUE: Final = """SELECT 'send', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float FROM mails
                       WHERE state IN ('queued', 'sending') AND due_at <= %(now)s
                       UNION ALL
                       SELECT 'print', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(received_at)), 0)::float
                       FROM pin_envelopes WHERE state IN ('sealed', 'printing')"""


def lock_renewal(conn: Conn, renewal_id: RenewalId) -> Renewal:
    """Lock the renewal's row, making it if need be: two topics tell of it and either may be first."""
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
    """Remember whom the renewal's mails go to."""
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
    """The renewal has ended; what comes for it from now on is not sent."""
    conn.execute("UPDATE renewals SET cancelled_at = %s WHERE renewal_id = %s", (now, renewal_id))


def add_mail(conn: Conn, mail: Mail, now: datetime, due_at: datetime) -> bool:
    """Queue a mail unless the same one was queued before."""
    return (
        conn.execute(
            """INSERT INTO mails (id, renewal_id, item_id, template, language, recipient_name, recipient_address,
                                  message_id, content, state, queued_at, due_at)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'queued', %s, %s)
               ON CONFLICT (renewal_id, template, recipient_address, item_id) DO NOTHING""",
            (
                mail.id,
                mail.renewal_id,
                mail.item_id,
                mail.template,
                mail.language,
                mail.recipient_name,
                mail.recipient_address,
                mail.message_id,
                Jsonb(mail.content),
                now,
                due_at,
            ),
        ).rowcount
        == 1
    )


def claim_due_mail(conn: Conn, now: datetime, leased_until: datetime) -> Sending | None:
    """Take the mail that has been due longest. One that was in sending already counts as a repetition."""
    with conn.cursor(row_factory=kwargs_row(_sending)) as cursor:
        return cursor.execute(
            """UPDATE mails SET state = 'sending', tries = tries + 1, dated_at = COALESCE(dated_at, %(now)s),
                      repeats = repeats + (state = 'sending')::int, due_at = %(leased_until)s
               WHERE id = (SELECT id FROM mails WHERE state IN ('queued', 'sending') AND due_at <= %(now)s
                           ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING id, renewal_id, template, language, recipient_name, recipient_address, message_id, content,
                         dated_at, queued_at, tries, repeats""",
            {"now": now, "leased_until": leased_until},
        ).fetchone()


def _sending(
    *,
    id: uuid.UUID,
    renewal_id: uuid.UUID,
    template: str,
    language: str,
    recipient_name: str,
    recipient_address: str,
    message_id: str,
    content: dict[str, object],
    dated_at: datetime,
    queued_at: datetime,
    tries: int,
    repeats: int,
) -> Sending:
    mail = Mail(
        id=id,
        renewal_id=RenewalId(renewal_id),
        template=Template(template),
        language=Language(language),
        recipient_name=recipient_name,
        recipient_address=recipient_address,
        message_id=message_id,
        content=content,
    )
    return Sending(mail=mail, dated_at=dated_at, queued_at=queued_at, tries=tries, repeats=repeats)


def settle(conn: Conn, sending: Sending, state: MailState, now: datetime, reply_code: int | None = None) -> bool:
    """Record how this sending ended, unless it has been taken over since."""
    return (
        conn.execute(
            """UPDATE mails SET state = %s, settled_at = %s, reply_code = %s
               WHERE id = %s AND state = 'sending' AND tries = %s""",
            (state, now, reply_code, sending.mail.id, sending.tries),
        ).rowcount
        == 1
    )


def put_off(conn: Conn, sending: Sending, due_at: datetime, *, state: MailState) -> None:
    """Send it again later: from `queued` if it was certainly not taken, from `sending` if nobody knows."""
    conn.execute(
        "UPDATE mails SET state = %s, due_at = %s WHERE id = %s AND state = 'sending' AND tries = %s",
        (state, due_at, sending.mail.id, sending.tries),
    )


def requeue_unconfirmed(conn: Conn, mail_id: uuid.UUID, now: datetime) -> RenewalId | None:
    """Send an unconfirmed mail once more; its renewal, or None if it is not unconfirmed."""
    row = conn.execute(
        """UPDATE mails SET state = 'queued', repeats = 0, due_at = %s, settled_at = NULL
           WHERE id = %s AND state = 'unconfirmed' RETURNING renewal_id""",
        (now, mail_id),
    ).fetchone()
    return None if row is None else RenewalId(row[0])


def drop_queued_mails(conn: Conn, renewal_id: RenewalId, templates: Iterable[Template], now: datetime) -> int:
    """Never send what is not sent yet; how many. What is being sent just now is out of our hands."""
    return conn.execute(
        """UPDATE mails SET state = 'dropped', settled_at = %s
           WHERE renewal_id = %s AND template = ANY(%s) AND state = 'queued'""",
        (now, renewal_id, list(templates)),
    ).rowcount


def add_refund(conn: Conn, event: RefundDue) -> bool:
    """Remember what goes back; False if that is known."""
    return (
        conn.execute(
            """INSERT INTO refunds (refund_id, renewal_id, item_id, amount_minor, currency, cause)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            (event.refund_id, event.renewal_id, event.item_id, event.amount_minor, event.currency, event.cause),
        ).rowcount
        == 1
    )


def find_refunds(conn: Conn, renewal_id: RenewalId) -> Sequence[Refund]:
    """All that goes back of a renewal."""
    with conn.cursor(row_factory=class_row(Refund)) as cursor:
        return cursor.execute(
            "SELECT item_id, amount_minor, currency, cause FROM refunds WHERE renewal_id = %s", (renewal_id,)
        ).fetchall()


def add_envelope(conn: Conn, event: PINEnvelopeSealed, sealed: bytes, now: datetime) -> bool:
    """Keep a sealed envelope; False if it, or another for the same server name, is there already."""
    return (
        conn.execute(
            """INSERT INTO pin_envelopes (envelope_id, renewal_id, item_id, server_name, state, sealed, received_at,
                                          due_at)
               VALUES (%s, %s, %s, %s, 'sealed', %s, %s, %s) ON CONFLICT DO NOTHING""",
            (event.envelope_id, event.renewal_id, event.item_id, event.server_name, sealed, now, now),
        ).rowcount
        == 1
    )


def add_dropped_envelope(conn: Conn, event: PINEnvelopeSealed, reason: str, now: datetime) -> None:
    """Record an envelope that will never be printed; its blob is not kept."""
    conn.execute(
        """INSERT INTO pin_envelopes (envelope_id, renewal_id, item_id, server_name, state, received_at, due_at, reason)
           VALUES (%s, %s, %s, %s, 'dropped', %s, %s, %s) ON CONFLICT DO NOTHING""",
        (event.envelope_id, event.renewal_id, event.item_id, event.server_name, now, now, reason),
    )


def is_same_envelope(conn: Conn, event: PINEnvelopeSealed, sealed: bytes) -> bool:
    """Whether this very envelope is there; of a printed one the blob can no longer be compared."""
    row = conn.execute(
        """SELECT 1 FROM pin_envelopes WHERE envelope_id = %s AND renewal_id = %s AND item_id = %s AND server_name = %s
               AND (sealed IS NULL OR sealed = %s)""",
        (event.envelope_id, event.renewal_id, event.item_id, event.server_name, sealed),
    ).fetchone()
    return row is not None


def drop_unprinted_envelopes(conn: Conn, renewal_id: RenewalId, reason: str) -> int:
    """Never print what no printer has taken yet; how many."""
    return conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', sealed = NULL, reason = %s
           WHERE renewal_id = %s AND state IN ('sealed', 'faulty')""",
        (reason, renewal_id),
    ).rowcount


def _envelope(
    *,
    envelope_id: uuid.UUID,
    renewal_id: uuid.UUID,
    item_id: uuid.UUID,
    server_name: str,
    state: str,
    registered_number: str | None,
    posted_on: date | None,
) -> PINEnvelope:
    return PINEnvelope(
        envelope_id=envelope_id,
        renewal_id=RenewalId(renewal_id),
        item_id=ItemId(item_id),
        server_name=server_name,
        state=EnvelopeState(state),
        registered_number=registered_number,
        posted_on=posted_on,
    )


def lock_envelopes_of_batch(conn: Conn, number: int) -> Sequence[PINEnvelope]:
    """A closed batch's printed envelopes, always in one order."""
    with conn.cursor(row_factory=kwargs_row(_envelope)) as cursor:
        return cursor.execute(
            """SELECT envelope_id, renewal_id, item_id, server_name, state, registered_number, posted_on
               FROM pin_envelopes
               WHERE batch_id = (SELECT id FROM posting_batches WHERE number = %s AND state = 'closed')
                 AND state IN ('printed', 'posted', 'returned')
               ORDER BY renewal_id, envelope_id FOR UPDATE""",
            (number,),
        ).fetchall()


def lock_envelope(conn: Conn, envelope_id: uuid.UUID) -> PINEnvelope | None:
    """One envelope that was printed."""
    with conn.cursor(row_factory=kwargs_row(_envelope)) as cursor:
        return cursor.execute(
            """SELECT envelope_id, renewal_id, item_id, server_name, state, registered_number, posted_on
               FROM pin_envelopes WHERE envelope_id = %s AND state IN ('printed', 'posted', 'returned') FOR UPDATE""",
            (envelope_id,),
        ).fetchone()


def save_posted(conn: Conn, envelope_id: uuid.UUID, number: str, posted_on: date) -> None:
    """The envelope went to the post. Raises psycopg.errors.UniqueViolation for a number used before."""
    conn.execute(
        """UPDATE pin_envelopes SET state = 'posted', registered_number = %s, posted_on = %s
           WHERE envelope_id = %s AND state = 'printed'""",
        (number, posted_on, envelope_id),
    )


def save_returned(conn: Conn, envelope_id: uuid.UUID, reason: str, returned_on: date) -> None:
    """The post brought the envelope back."""
    conn.execute(
        """UPDATE pin_envelopes SET state = 'returned', reason = %s, returned_on = %s
           WHERE envelope_id = %s AND state = 'posted'""",
        (reason, returned_on, envelope_id),
    )
