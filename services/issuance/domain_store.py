"""SQL of domain control and its checks; takes a connection and never commits. Lock order: see store.py; after orders,
the domains of one subscriber in alphabetical order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared.db import Conn
from shared.runtime.pruning import Rule
from shared.vocabulary import SubscriberId

_CONTROL: Final = "subscriber_id, domain, random_value, valued_at, due_at"
_CHECK: Final = "check_id, subscriber_id, domain, checked_at, method, reason, quorum, reports"
# A check that proved nothing is of use while the AR looks for the mistake. Proofs are kept as long as the CA's records.
FAILED_CHECKS: Final = Rule(
    table="domain_checks",
    keep=((date(2026, 1, 1), timedelta(days=731)),),
    statement="""DELETE FROM domain_checks WHERE check_id IN (
                   SELECT check_id FROM domain_checks WHERE method IS NULL AND checked_at < %(before)s
                   ORDER BY checked_at LIMIT %(limit)s)""",
)


OLDEST_DUE: Final = """SELECT 'check-domain', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float
                       FROM domain_controls WHERE due_at <= %(now)s"""


@dataclass(frozen=True, kw_only=True)
class DomainControl:
    """A domain, without wildcard, and the random value by which this subscriber proves its control."""

    subscriber_id: SubscriberId
    domain: str
    random_value: str
    valued_at: datetime
    due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DomainCheck:
    """One check of a domain by all perspectives. `method` is the last number of the Baseline Requirements' section.

    `reports` has, by perspective, its resolver and observations, or the reason why it gave none.
    """

    check_id: UUID
    subscriber_id: SubscriberId
    domain: str
    checked_at: datetime
    method: str | None
    reason: str | None
    quorum: str
    reports: Mapping[str, Any]


def find_controls(conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str]) -> dict[str, DomainControl]:
    """Return the subscriber's domains among these."""
    with conn.cursor(row_factory=class_row(DomainControl)) as cursor:
        found = cursor.execute(
            f"SELECT {_CONTROL} FROM domain_controls WHERE subscriber_id = %s AND domain = ANY(%s)",
            (subscriber_id, list(domains)),
        ).fetchall()
    return {control.domain: control for control in found}


def count_controls(conn: Conn, subscriber_id: SubscriberId) -> int:
    """Return the number of the subscriber's domains."""
    row = conn.execute("SELECT count(*) FROM domain_controls WHERE subscriber_id = %s", (subscriber_id,)).fetchone()
    assert row is not None
    return int(row[0])


def add_control(conn: Conn, control: DomainControl, *, replace_before: datetime) -> bool:
    """Store a domain with its random value, or a new value in place of one from before that time.

    Returns False if a younger value is in force.
    """
    changed = conn.execute(
        """INSERT INTO domain_controls AS c (subscriber_id, domain, random_value, valued_at, due_at)
           VALUES (%(subscriber_id)s, %(domain)s, %(random_value)s, %(valued_at)s, %(due_at)s)
           ON CONFLICT (subscriber_id, domain)
           DO UPDATE SET random_value = excluded.random_value, valued_at = excluded.valued_at
           WHERE c.valued_at < %(replace_before)s""",
        vars(control) | {"replace_before": replace_before},
    )
    return changed.rowcount == 1


def ask_check(conn: Conn, subscriber_id: SubscriberId, domain: str, now: datetime) -> None:
    """Have the domain checked, unless a check is due or in progress."""
    conn.execute(
        """UPDATE domain_controls SET due_at = %s, attempts = 0
           WHERE subscriber_id = %s AND domain = %s AND due_at IS NULL""",
        (now, subscriber_id, domain),
    )


def claim_due_control(conn: Conn, now: datetime, lease: timedelta, *, fresh: bool) -> DomainControl | None:
    """Claim the domain whose check has been due longest, under a lease that doubles with each attempt."""
    with conn.cursor(row_factory=class_row(DomainControl)) as cursor:
        return cursor.execute(
            f"""UPDATE domain_controls SET attempts = attempts + 1,
                       due_at = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE (subscriber_id, domain) = (
                    SELECT subscriber_id, domain FROM domain_controls
                    WHERE due_at <= %(now)s AND (attempts = 0) = %(fresh)s
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING {_CONTROL}""",
            {"now": now, "lease": lease, "fresh": fresh},
        ).fetchone()


def save_checked(conn: Conn, control: DomainControl) -> None:
    """Record that the due check was made."""
    conn.execute(
        "UPDATE domain_controls SET due_at = NULL, attempts = 0 WHERE subscriber_id = %s AND domain = %s",
        (control.subscriber_id, control.domain),
    )


def add_check(conn: Conn, check: DomainCheck) -> None:
    """Store a check. It is never changed."""
    conn.execute(
        f"""INSERT INTO domain_checks ({_CHECK})
            VALUES (%(check_id)s, %(subscriber_id)s, %(domain)s, %(checked_at)s, %(method)s, %(reason)s, %(quorum)s,
                    %(reports)s)""",
        vars(check) | {"reports": Jsonb(check.reports)},
    )


def latest_checks(conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str]) -> dict[str, DomainCheck]:
    """Return the last check of each of these domains."""
    with conn.cursor(row_factory=class_row(DomainCheck)) as cursor:
        found = cursor.execute(
            f"""SELECT c.* FROM unnest(%s::text[]) AS wanted (domain), LATERAL (
                    SELECT {_CHECK} FROM domain_checks AS d
                    WHERE d.subscriber_id = %s AND d.domain = wanted.domain
                    ORDER BY d.checked_at DESC LIMIT 1) AS c""",
            (list(domains), subscriber_id),
        ).fetchall()
    return {check.domain: check for check in found}


def latest_proofs(conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str]) -> dict[tuple[str, str], datetime]:
    """Return when control of these domains was last proved, by domain and method."""
    rows = conn.execute(
        """SELECT c.domain, c.method, c.checked_at
           FROM unnest(%s::text[]) AS wanted (domain), unnest(ARRAY['7', '18']) AS by (method), LATERAL (
                SELECT domain, method, checked_at FROM domain_checks AS d
                WHERE d.subscriber_id = %s AND d.domain = wanted.domain AND d.method = by.method
                ORDER BY d.checked_at DESC LIMIT 1) AS c""",
        (list(domains), subscriber_id),
    ).fetchall()
    return {(domain, method): checked_at for domain, method, checked_at in rows}


def wake_orders(conn: Conn, subscriber_id: SubscriberId, now: datetime) -> None:
    """Have the subscriber's waiting orders examined now. Call it in a transaction of its own: it locks orders."""
    conn.execute(
        """UPDATE orders SET due_at = %(now)s, attempts = 0 WHERE item_id IN (
               SELECT o.item_id FROM orders AS o JOIN renewals AS r ON r.renewal_id = o.renewal_id
               WHERE r.subscriber_id = %(subscriber_id)s AND o.state = 'csr-received' AND o.due_at > %(now)s
               ORDER BY o.item_id FOR UPDATE OF o)""",
        {"now": now, "subscriber_id": subscriber_id},
    )
