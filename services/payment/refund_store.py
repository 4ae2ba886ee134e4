"""SQL of refunds and of the ledger. Every change needs the lock of the payment's row. Never commits."""

import uuid
from datetime import datetime
from typing import Any, Final

from psycopg.rows import kwargs_row

from services.payment.domain import Payment, PaymentId, ProviderRefund, Refund, RefundId, RefundState
from services.payment.store import PAYMENT, payment_row
from shared.db import Conn

_REFUND: Final = (
    "id, payment_id, renewal_id, item_id, amount_minor, currency, reason, state, tries, provider_reference,"
    " refunded_at, traceparent, asked_as"
)


def _row(*, state: str, **columns: Any) -> Refund:
    return Refund(state=RefundState(state), **columns)


def add_refund(conn: Conn, refund: Refund, *, due_at: datetime | None, now: datetime) -> Refund:
    """Insert a refund unless one of this item (or of the whole payment) exists. Returns the stored refund.

    If it exists under another id, the requester's database was restored: the answer carries the new id.
    """
    conn.execute(
        """INSERT INTO refunds (id, payment_id, renewal_id, item_id, amount_minor, currency, reason, state, due_at,
                                traceparent, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (
            refund.id,
            refund.payment_id,
            refund.renewal_id,
            refund.item_id,
            refund.amount_minor,
            refund.currency,
            refund.reason,
            refund.state,
            due_at,
            refund.traceparent,
            now,
        ),
    )
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        stored = cursor.execute(
            f"""SELECT {_REFUND} FROM refunds
                WHERE id = %(id)s OR (payment_id = %(payment_id)s AND item_id IS NOT DISTINCT FROM %(item_id)s
                                      AND NOT is_repeat)
                ORDER BY id = %(id)s DESC LIMIT 1""",
            {"id": refund.id, "payment_id": refund.payment_id, "item_id": refund.item_id},
        ).fetchone()
    assert stored is not None
    return stored


def save_asked_as(conn: Conn, refund_id: RefundId, asked_as: uuid.UUID) -> None:
    """Store another id under which the refund is announced from now on."""
    conn.execute("UPDATE refunds SET asked_as = %s WHERE id = %s", (asked_as, refund_id))


def find_refund(conn: Conn, refund_id: RefundId) -> Refund:
    """Return a refund; refunds are never deleted."""
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        found = cursor.execute(f"SELECT {_REFUND} FROM refunds WHERE id = %s", (refund_id,)).fetchone()
    assert found is not None
    return found


def list_refunds(conn: Conn, payment_id: PaymentId) -> list[Refund]:
    """Return all refunds of a payment, oldest first."""
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        return cursor.execute(
            f"SELECT {_REFUND} FROM refunds WHERE payment_id = %s ORDER BY created_at, id", (payment_id,)
        ).fetchall()


def wake_refunds(conn: Conn, payment_id: PaymentId, *, now: datetime) -> int:
    """Make waiting or held refunds due, once the capture is known or a person has decided. Returns their number."""
    return conn.execute(
        "UPDATE refunds SET state = 'due', due_at = %s"
        " WHERE payment_id = %s AND state IN ('due', 'held') AND due_at IS NULL",
        (now, payment_id),
    ).rowcount


def hold_refunds(conn: Conn, payment_id: PaymentId) -> int:
    """Hold the refunds of a payment without a capture. Returns their number."""
    return conn.execute(
        "UPDATE refunds SET state = 'held', due_at = NULL WHERE payment_id = %s AND state = 'due'", (payment_id,)
    ).rowcount


def lock_due_refund(conn: Conn, *, now: datetime) -> tuple[Payment, Refund] | None:
    """Return a due refund with its payment, both locked; skips rows that others have locked."""
    found = conn.execute(
        """SELECT r.id, p.id FROM refunds AS r JOIN payments AS p ON p.id = r.payment_id
           WHERE r.due_at <= %s ORDER BY r.tries > 0, r.due_at LIMIT 1 FOR UPDATE SKIP LOCKED""",
        (now,),
    ).fetchone()
    if found is None:
        return None
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        refund = cursor.execute(f"SELECT {_REFUND} FROM refunds WHERE id = %s", (found[0],)).fetchone()
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        payment = cursor.execute(f"SELECT {PAYMENT} FROM payments WHERE id = %s", (found[1],)).fetchone()
    assert refund is not None
    assert payment is not None
    return payment, refund


def sum_taken(conn: Conn, refund: Refund) -> int:
    """Return the sum of the payment's other refunds that are made or may have been made."""
    row = conn.execute(
        """SELECT COALESCE(sum(amount_minor), 0) FROM refunds
           WHERE payment_id = %s AND id <> %s AND state IN ('sending', 'refunded')""",
        (refund.payment_id, refund.id),
    ).fetchone()
    assert row is not None
    return int(row[0])


def save_sending(conn: Conn, refund_id: RefundId, *, until: datetime) -> Refund:
    """Lease the refund, and count its amount against the capture from now on. Returns the refund as it then is."""
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        sent = cursor.execute(
            f"UPDATE refunds SET state = 'sending', tries = tries + 1, due_at = %s WHERE id = %s RETURNING {_REFUND}",
            (until, refund_id),
        ).fetchone()
    assert sent is not None
    return sent


def save_held(conn: Conn, refund_id: RefundId) -> bool:
    """Hold the refund. Returns False if it was settled meanwhile."""
    changed = conn.execute(
        "UPDATE refunds SET state = 'held', due_at = NULL WHERE id = %s AND state IN ('due', 'sending')",
        (refund_id,),
    )
    return changed.rowcount == 1


def save_later(conn: Conn, refund_id: RefundId, *, due_at: datetime) -> None:
    """Schedule the next attempt."""
    conn.execute("UPDATE refunds SET due_at = %s WHERE id = %s AND state = 'sending'", (due_at, refund_id))


def settle(conn: Conn, refund: Refund, made: ProviderRefund) -> bool:
    """Record that the refund was made. Returns False if it is recorded already."""
    assert made.refunded_at is not None
    changed = conn.execute(
        """UPDATE refunds SET state = 'refunded', provider_reference = %s, refunded_at = %s, due_at = NULL
           WHERE id = %s AND state = 'sending'""",
        (made.id, made.refunded_at, refund.id),
    )
    return changed.rowcount == 1


def add_booking(
    conn: Conn,
    *,
    payment_id: PaymentId,
    refund_id: uuid.UUID | None,
    debit: str,
    credit: str,
    amount_minor: int,
    currency: str,
    provider_reference: str,
    now: datetime,
) -> None:
    """Book a capture (no refund id) or a refund; the table accepts each once."""
    conn.execute(
        """INSERT INTO ledger (payment_id, refund_id, debit, credit, amount_minor, currency, provider_reference,
                               booked_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (payment_id, refund_id, debit, credit, amount_minor, currency, provider_reference, now),
    )
