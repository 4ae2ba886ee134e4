"""SQL of slack; takes a connection and never commits.

A renewal's own row has its slack as of the last look, the time of the next look, and when its risk was announced.
"""

from datetime import datetime, timedelta
from typing import Final

from services.application.domain import RenewalState
from shared.db import Conn
from shared.vocabulary import RenewalId

# States in which a certificate may still come: those of the index renewals_slack.
STATES: Final = (RenewalState.AWAITING_PAYMENT, RenewalState.AWAITING_CSRS, RenewalState.ON_HOLD)
LEAST_SLACK: Final = """SELECT state, min(slack_days) FROM renewals
                        WHERE state IN ('awaiting-payment', 'awaiting-csrs', 'on-hold') AND slack_days IS NOT NULL
                        GROUP BY state"""
_RETRY_AFTER: Final = timedelta(minutes=10)


def claim(conn: Conn, now: datetime) -> RenewalId | None:
    """Claim an open renewal whose slack is due to be looked at; it is due again soon, unless the look succeeds."""
    row = conn.execute(
        """UPDATE renewals SET slack_due_at = %(now)s + %(retry)s
           WHERE id = (
               SELECT id FROM renewals
               WHERE state IN ('awaiting-payment', 'awaiting-csrs', 'on-hold') AND slack_due_at <= %(now)s
               ORDER BY slack_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id""",
        {"now": now, "retry": _RETRY_AFTER},
    ).fetchone()
    return None if row is None else RenewalId(row[0])


def save(conn: Conn, renewal_id: RenewalId, slack_days: int | None, *, next_look_at: datetime) -> None:
    """Store a renewal's slack, and when it is to be looked at again."""
    conn.execute(
        "UPDATE renewals SET slack_days = %s, slack_due_at = %s WHERE id = %s", (slack_days, next_look_at, renewal_id)
    )


def mark_at_risk(conn: Conn, renewal_id: RenewalId, at: datetime) -> bool:
    """Record that the renewal's risk is announced. Returns False if it was before."""
    changed = conn.execute("UPDATE renewals SET at_risk_at = %s WHERE id = %s AND at_risk_at IS NULL", (at, renewal_id))
    return changed.rowcount == 1
