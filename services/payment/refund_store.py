"""All SQL of refunds. Every change is made under the lock of the payment's row. Nothing here commits."""

from datetime import datetime
from typing import Any, Final

from psycopg.rows import kwargs_row

from services.payment.domain import Payment, PaymentId, ProviderRefund, Refund, RefundId, RefundState
from services.payment.store import PAYMENT, payment_row
from shared.db import Conn

_REFUND: Final = (
    "id, payment_id, renewal_id, item_id, amount_minor, currency, reason, state, tries, provider_reference,"
    " refunded_at, traceparent"
)


def _row(*, state: str, **columns: Any) -> Refund:
    return Refund(state=RefundState(state), **columns)


def add_refund(conn: Conn, refund: Refund, *, due_at: datetime | None, now: datetime) -> Refund:
    """Insert a refund unless its id is known; the refund as it is stored."""
    conn.execute(
        """INSERT INTO refunds (id, payment_id, renewal_id, item_id, amount_minor, currency, reason, state, due_at,
                                traceparent, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING""",
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
        stored = cursor.execute(f"SELECT {_REFUND} FROM refunds WHERE id = %s", (refund.id,)).fetchone()
    assert stored is not None
    return stored


def list_refunds(conn: Conn, payment_id: PaymentId) -> list[Refund]:
    """All refunds of a payment, the oldest first."""
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        return cursor.execute(
            f"SELECT {_REFUND} FROM refunds WHERE payment_id = %s ORDER BY created_at, id", (payment_id,)
        ).fetchall()


def wake_refunds(conn: Conn, payment_id: PaymentId, *, now: datetime) -> None:
    """The capture is known now (or a person has looked): refunds that waited can be made."""
    conn.execute(
        "UPDATE refunds SET state = 'due', due_at = %s"
        " WHERE payment_id = %s AND state IN ('due', 'held') AND due_at IS NULL",
        (now, payment_id),
    )


def hold_refunds(conn: Conn, payment_id: PaymentId) -> int:
    """Nothing was captured, so nothing can go back: a person must look. Says how many."""
    return conn.execute(
        "UPDATE refunds SET state = 'held', due_at = NULL WHERE payment_id = %s AND state = 'due'", (payment_id,)
    ).rowcount


def lock_due_refund(conn: Conn, *, now: datetime) -> tuple[Payment, Refund] | None:
    """One due refund with its payment, both locked; rows that others have are left to them."""
    found = conn.execute(
        """SELECT r.id, p.id FROM refunds AS r JOIN payments AS p ON p.id = r.payment_id
           WHERE r.due_at <= %s ORDER BY r.due_at LIMIT 1 FOR UPDATE SKIP LOCKED""",
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
    """What other refunds of the payment have taken, or may have, of the captured amount."""
    row = conn.execute(
        """SELECT COALESCE(sum(amount_minor), 0) FROM refunds
           WHERE payment_id = %s AND id <> %s AND state IN ('sending', 'refunded')""",
        (refund.payment_id, refund.id),
    ).fetchone()
    assert row is not None
    return int(row[0])


def save_sending(conn: Conn, refund_id: RefundId, *, until: datetime) -> Refund:
    """Lease the refund and count its amount against the capture from now on; the refund as it then is."""
    with conn.cursor(row_factory=kwargs_row(_row)) as cursor:
        sent = cursor.execute(
            f"UPDATE refunds SET state = 'sending', tries = tries + 1, due_at = %s WHERE id = %s RETURNING {_REFUND}",
            (until, refund_id),
        ).fetchone()
    assert sent is not None
    return sent


def save_held(conn: Conn, refund_id: RefundId) -> None:
    """A person must look."""
    conn.execute("UPDATE refunds SET state = 'held', due_at = NULL WHERE id = %s", (refund_id,))


def save_later(conn: Conn, refund_id: RefundId, *, due_at: datetime) -> None:
    """Try again later."""
    conn.execute("UPDATE refunds SET due_at = %s WHERE id = %s AND state = 'sending'", (due_at, refund_id))


def settle(conn: Conn, refund: Refund, made: ProviderRefund) -> bool:
    """Record that the refund was made; False if it is recorded already."""
    return (
        conn.execute(
            """UPDATE refunds SET state = 'refunded', provider_reference = %s, refunded_at = %s, due_at = NULL
               WHERE id = %s AND state = 'sending'""",
            (made.id, made.refunded_at, refund.id),
        ).rowcount
        == 1
    )
