"""SQL of PIN Envelopes for all processes but the print process, and of what needs an operator; never commits."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from psycopg.rows import class_row, kwargs_row

from services.mailing.domain import BatchCount, EnvelopeState, PINEnvelope, Waiting
from shared.db import Conn
from shared.events.issuance import PINEnvelopeSealed
from shared.vocabulary import ItemId, RenewalId

FAULTY: Final = "SELECT count(*) FROM pin_envelopes WHERE state = 'faulty'"


def add_envelope(conn: Conn, event: PINEnvelopeSealed, sealed: bytes, now: datetime, traceparent: str | None) -> bool:
    """Store a sealed envelope. Returns False if it, or another one for the same server name, exists."""
    changed = conn.execute(
        """INSERT INTO pin_envelopes (envelope_id, renewal_id, item_id, server_name, state, sealed, received_at,
                                      due_at, traceparent)
           VALUES (%s, %s, %s, %s, 'sealed', %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (event.envelope_id, event.renewal_id, event.item_id, event.server_name, sealed, now, now, traceparent),
    )
    return changed.rowcount == 1


def add_dropped_envelope(conn: Conn, event: PINEnvelopeSealed, reason: str, now: datetime) -> None:
    """Record an envelope that will never be printed, without its sealed content."""
    conn.execute(
        """INSERT INTO pin_envelopes (envelope_id, renewal_id, item_id, server_name, state, received_at, due_at, reason)
           VALUES (%s, %s, %s, %s, 'dropped', %s, %s, %s) ON CONFLICT DO NOTHING""",
        (event.envelope_id, event.renewal_id, event.item_id, event.server_name, now, now, reason),
    )


def give_way(conn: Conn, event: PINEnvelopeSealed, reason: str, now: datetime) -> list[uuid.UUID]:
    """Drop earlier letters for this server name, unless they are out of our hands. Returns the dropped ones.

    A letter at the printer, in a closed batch or in the post is not dropped: its PIN is void.
    """
    earlier = """renewal_id = %(renewal_id)s AND item_id = %(item_id)s AND server_name = %(server_name)s
                 AND envelope_id <> %(envelope_id)s AND replaced_by IS NULL AND state <> 'dropped'"""
    rows = conn.execute(
        f"SELECT envelope_id FROM pin_envelopes WHERE {earlier} ORDER BY envelope_id FOR UPDATE", vars(event)
    ).fetchall()
    replaced = [row[0] for row in rows]
    conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', sealed = NULL, reason = %s
           WHERE envelope_id = ANY(%s) AND state IN ('sealed', 'faulty')""",
        (reason, replaced),
    )
    conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', reason = %s, finished_at = %s
           WHERE envelope_id = ANY(%s) AND state = 'printed'
             AND batch_id IN (SELECT id FROM posting_batches WHERE state = 'open' FOR SHARE)""",
        (reason, now, replaced),
    )
    conn.execute("UPDATE pin_envelopes SET replaced_by = %s WHERE envelope_id = ANY(%s)", (event.envelope_id, replaced))
    return replaced


def find_replaced_names(conn: Conn, item_id: ItemId, since: datetime) -> set[str]:
    """Return the server names of the item for which a letter came since that time in place of an earlier one."""
    rows = conn.execute(
        """SELECT server_name FROM pin_envelopes AS new WHERE item_id = %s AND received_at >= %s
           AND EXISTS (SELECT 1 FROM pin_envelopes AS old
                       WHERE old.item_id = new.item_id AND old.replaced_by = new.envelope_id)""",
        (item_id, since),
    ).fetchall()
    return {row[0] for row in rows}


def is_same_envelope(conn: Conn, event: PINEnvelopeSealed, sealed: bytes) -> bool:
    """Return whether this same envelope is stored; the sealed content of a printed one can no longer be compared."""
    row = conn.execute(
        """SELECT 1 FROM pin_envelopes WHERE envelope_id = %s AND renewal_id = %s AND item_id = %s AND server_name = %s
               AND (sealed IS NULL OR sealed = %s)""",
        (event.envelope_id, event.renewal_id, event.item_id, event.server_name, sealed),
    ).fetchone()
    return row is not None


def drop_unposted_envelopes(conn: Conn, renewal_id: RenewalId, reason: str, now: datetime) -> int:
    """Drop letters that are not printed yet, or printed in an open batch. Returns their number.

    A closed batch may be on its way to the post. Locks envelopes before batches, as the print process does.
    """
    unprinted = conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', sealed = NULL, reason = %s
           WHERE renewal_id = %s AND state IN ('sealed', 'faulty')""",
        (reason, renewal_id),
    ).rowcount
    printed = conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', reason = %s, finished_at = %s
           WHERE renewal_id = %s AND state = 'printed'
             AND batch_id IN (SELECT id FROM posting_batches WHERE state = 'open' FOR SHARE)""",
        (reason, now, renewal_id),
    ).rowcount
    return unprinted + printed


def _envelope(
    *,
    envelope_id: uuid.UUID,
    renewal_id: uuid.UUID,
    item_id: uuid.UUID,
    server_name: str,
    state: str,
    registered_number: str | None,
    posted_on: date | None,
    traceparent: str | None,
) -> PINEnvelope:
    return PINEnvelope(
        envelope_id=envelope_id,
        renewal_id=RenewalId(renewal_id),
        item_id=ItemId(item_id),
        server_name=server_name,
        state=EnvelopeState(state),
        registered_number=registered_number,
        posted_on=posted_on,
        traceparent=traceparent,
    )


def lock_envelopes_of_batch(conn: Conn, number: int) -> Sequence[PINEnvelope]:
    """Return a closed batch's printed envelopes, locked, always in the same order."""
    with conn.cursor(row_factory=kwargs_row(_envelope)) as cursor:
        return cursor.execute(
            """SELECT envelope_id, renewal_id, item_id, server_name, state, registered_number, posted_on,
                      traceparent
               FROM pin_envelopes
               WHERE batch_id = (SELECT id FROM posting_batches WHERE number = %s AND state = 'closed')
                 AND state IN ('printed', 'posted', 'returned')
               ORDER BY renewal_id, envelope_id FOR UPDATE""",
            (number,),
        ).fetchall()


def lock_envelope(conn: Conn, envelope_id: uuid.UUID) -> PINEnvelope | None:
    """Return a printed envelope, locked."""
    with conn.cursor(row_factory=kwargs_row(_envelope)) as cursor:
        return cursor.execute(
            """SELECT envelope_id, renewal_id, item_id, server_name, state, registered_number, posted_on,
                      traceparent
               FROM pin_envelopes WHERE envelope_id = %s AND state IN ('printed', 'posted', 'returned') FOR UPDATE""",
            (envelope_id,),
        ).fetchone()


def save_posted(conn: Conn, envelope_id: uuid.UUID, number: str, posted_on: date, now: datetime) -> None:
    """Record a posted envelope. Raises psycopg.errors.UniqueViolation for a number that is used already."""
    conn.execute(
        """UPDATE pin_envelopes SET state = 'posted', registered_number = %s, posted_on = %s, finished_at = %s
           WHERE envelope_id = %s AND state = 'printed'""",
        (number, posted_on, now, envelope_id),
    )


def save_withdrawn(conn: Conn, envelope_id: uuid.UUID, reason: str, now: datetime) -> None:
    """Record a printed envelope that will not be posted."""
    conn.execute(
        """UPDATE pin_envelopes SET state = 'dropped', reason = %s, finished_at = %s
           WHERE envelope_id = %s AND state = 'printed'""",
        (reason, now, envelope_id),
    )


def save_returned(conn: Conn, envelope_id: uuid.UUID, reason: str, returned_on: date) -> None:
    """Record a returned envelope."""
    conn.execute(
        """UPDATE pin_envelopes SET state = 'returned', reason = %s, returned_on = %s
           WHERE envelope_id = %s AND state = 'posted'""",
        (reason, returned_on, envelope_id),
    )


def list_batches(conn: Conn, limit: int = 50) -> Sequence[BatchCount]:
    """Return the newest posting batches, with the states of their letters."""
    with conn.cursor(row_factory=class_row(BatchCount)) as cursor:
        return cursor.execute(
            """SELECT b.number, b.state, b.opened_at, b.closed_at,
                      count(*) FILTER (WHERE e.state = 'printed') AS printed,
                      count(*) FILTER (WHERE e.state = 'posted') AS posted,
                      count(*) FILTER (WHERE e.state = 'returned') AS returned,
                      count(*) FILTER (WHERE e.state = 'dropped') AS dropped
               FROM posting_batches AS b LEFT JOIN pin_envelopes AS e ON e.batch_id = b.id
               WHERE b.number > (SELECT COALESCE(max(number), 0) FROM posting_batches) - %s
               GROUP BY b.number, b.state, b.opened_at, b.closed_at ORDER BY b.number DESC""",
            (limit,),
        ).fetchall()


def find_waiting(conn: Conn, since: datetime) -> Sequence[Waiting]:
    """Return what has needed an operator since that time, oldest first."""
    with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(
            """SELECT 'mail-' || state AS kind, id, renewal_id, content->>'reference' AS reference, template AS what,
                      settled_at AS since, reply_code::text AS why
               FROM mails WHERE state IN ('bounced', 'unconfirmed') AND settled_at >= %(since)s
               UNION ALL
               SELECT 'envelope-' || e.state, envelope_id, renewal_id, reference, server_name,
                      COALESCE(finished_at, printed_at, received_at), reason
               FROM pin_envelopes AS e LEFT JOIN posting_batches AS b ON b.id = e.batch_id
               WHERE (e.state = 'faulty' OR (e.state = 'returned' AND e.replaced_by IS NULL)
                      OR (e.state = 'printed' AND b.state = 'closed'))
                 AND received_at >= %(since)s
               ORDER BY since, id""",
            {"since": since},
        ).fetchall()
