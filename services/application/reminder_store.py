"""SQL of reminders; takes a connection and never commits."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from shared.db import Conn
from shared.vocabulary import ItemId, RenewalId

_RETRY_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Due:
    """A subscription whose reminders are looked at, as it is now."""

    srn: str
    serial: str
    standing: str
    paid_until: date
    certificate: str
    not_after: datetime
    being_renewed: bool
    being_reissued: bool


def claim(conn: Conn, now: datetime) -> str | None:
    """Claim a subscription that is due to be looked at; it is due again soon, unless the look succeeds."""
    row = conn.execute(
        """UPDATE subscriptions SET reminder_due_at = %(now)s + %(retry)s
           WHERE srn = (SELECT srn FROM subscriptions WHERE reminder_due_at <= %(now)s
                        ORDER BY reminder_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING srn""",
        {"now": now, "retry": _RETRY_AFTER},
    ).fetchone()
    return None if row is None else row[0]


def find_item(conn: Conn, srn: str) -> tuple[RenewalId, ItemId] | None:
    """Return the renewal and item that bought the present period, if its AR is the AR of record still."""
    row = conn.execute(
        """SELECT i.renewal_id, i.id
           FROM items AS i JOIN renewals AS r ON r.id = i.renewal_id JOIN subscriptions AS s ON s.srn = i.srn
           WHERE i.srn = %s AND i.state IN ('issued', 'accepted')
             AND (i.paid_until = s.paid_until OR i.serial = s.serial)
             AND (r.subscriber_id, r.ar_id) = (s.subscriber_id, s.ar_id)
           ORDER BY r.created_at DESC LIMIT 1""",
        (srn,),
    ).fetchone()
    return None if row is None else (RenewalId(row[0]), ItemId(row[1]))


def lock(conn: Conn, srn: str) -> Due:
    """Lock a claimed subscription."""
    with conn.cursor(row_factory=class_row(Due)) as cursor:
        found = cursor.execute(
            """SELECT srn, serial, standing, paid_until, certificate, not_after,
                   COALESCE(kind = 'renewal', false) AS being_renewed,
                   COALESCE(kind = 'reissue', false) AS being_reissued
               FROM subscriptions LEFT JOIN LATERAL (
                   SELECT r.kind FROM items AS i JOIN renewals AS r ON r.id = i.renewal_id
                   WHERE i.srn = subscriptions.srn AND i.open) AS under_way ON true
               WHERE srn = %s FOR UPDATE OF subscriptions""",
            (srn,),
        ).fetchone()
    assert found is not None
    return found


def add(
    conn: Conn, srn: str, paid_until: date, days_before: int, outcome: str, now: datetime, *, serial: str = ""
) -> bool:
    """Record a reminder of the period's end, or of the end of the certificate with this serial number.

    Returns False if it was recorded before.
    """
    changed = conn.execute(
        """INSERT INTO reminders (srn, paid_until, serial, days_before, outcome, decided_at)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (srn, paid_until, serial, days_before, outcome, now),
    )
    return changed.rowcount == 1


def save_next_look(conn: Conn, srn: str, due_at: datetime) -> None:
    """Store when the subscription is to be looked at again."""
    conn.execute("UPDATE subscriptions SET reminder_due_at = %s WHERE srn = %s", (due_at, srn))
