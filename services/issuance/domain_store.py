"""SQL of domain control and its checks; takes a connection and never commits. Lock order: see store.py; after orders,
the domains of one subscriber in alphabetical order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared.db import Conn
from shared.runtime.pruning import Rule
from shared.vocabulary import SubscriberId

_CONTROL: Final = "subscriber_id, domain, random_value, valued_at, used_at, due_at"
_EVER: Final = datetime.max.replace(tzinfo=UTC)
_CHECK: Final = "check_id, subscriber_id, domain, checked_at, method, reason, quorum, caa, seen"
# What it says of CAA may be what a certificate rests on: longer than any certificate lives, plus two years (BR 5.5.2).
# Proofs are kept as long as the CA's records.
FAILED_CHECKS: Final = Rule(
    table="domain_checks",
    keep=((date(2026, 1, 1), timedelta(days=1130)),),
    statement="""DELETE FROM domain_checks WHERE check_id IN (
                   SELECT check_id FROM domain_checks WHERE method IS NULL AND checked_at < %(before)s
                   ORDER BY checked_at LIMIT %(limit)s)""",
)


OLDEST_DUE: Final = """SELECT 'check-domain', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float
                       FROM domain_controls WHERE due_at <= %(now)s"""


@dataclass(frozen=True, kw_only=True)
class DomainControl:
    """A domain, without wildcard, and the random value by which this subscriber proves its control, once."""

    subscriber_id: SubscriberId
    domain: str
    random_value: str
    valued_at: datetime
    used_at: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DomainProof:
    """A check that proved control of a domain: what is read of it before a signature."""

    check_id: UUID
    domain: str
    method: str
    checked_at: datetime
    quorum: str


@dataclass(frozen=True, kw_only=True)
class DomainCheck:
    """One check of a domain by all perspectives. `method` is the last number of the Baseline Requirements' section.

    `quorum` is that of control, "0" if the primary perspective saw no proof or nobody looked for one; that of CAA
    depends on the name, and is in the audit log of intents and delays. `caa` has the answers about CAA, `seen` all that
    the primary perspective saw, both as `Answers.document`.
    """

    check_id: UUID
    subscriber_id: SubscriberId
    domain: str
    checked_at: datetime
    method: str | None
    reason: str | None
    quorum: str
    caa: Mapping[str, Any]
    seen: Mapping[str, Any]


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


def lock_subscriber(conn: Conn, subscriber_id: SubscriberId) -> None:
    """Lock the list of a subscriber's domains until the transaction ends, so that its length can be limited."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('domains of ' || %s, 0))", (subscriber_id,))


def add_control(conn: Conn, control: DomainControl, *, replace_before: datetime, replace_used: bool) -> bool:
    """Store a domain with its random value, or a new value in place of one from before that time, or that was used.

    Returns False if another value stays in force.
    """
    changed = conn.execute(
        """INSERT INTO domain_controls AS c (subscriber_id, domain, random_value, valued_at, due_at)
           VALUES (%(subscriber_id)s, %(domain)s, %(random_value)s, %(valued_at)s, %(due_at)s)
           ON CONFLICT (subscriber_id, domain)
           DO UPDATE SET random_value = excluded.random_value, valued_at = excluded.valued_at, used_at = NULL
           WHERE c.valued_at < %(replace_before)s OR (%(replace_used)s AND c.used_at IS NOT NULL)""",
        vars(control) | {"replace_before": replace_before, "replace_used": replace_used},
    )
    return changed.rowcount == 1


def has_due_check(conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str]) -> bool:
    """Return whether a check of one of these domains is due or under way."""
    row = conn.execute(
        """SELECT 1 FROM domain_controls WHERE subscriber_id = %s AND domain = ANY(%s) AND due_at IS NOT NULL
           LIMIT 1""",
        (subscriber_id, list(domains)),
    ).fetchone()
    return row is not None


def ask_check(conn: Conn, subscriber_id: SubscriberId, domain: str, at: datetime) -> None:
    """Have the domain checked at that time, unless a check is due or under way."""
    conn.execute(
        """UPDATE domain_controls SET due_at = %s, attempts = 0
           WHERE subscriber_id = %s AND domain = %s AND due_at IS NULL""",
        (at, subscriber_id, domain),
    )


def ask_check_again(conn: Conn, subscriber_id: SubscriberId, domain: str, *, now: datetime, at: datetime) -> None:
    """Have the domain checked at that time; if a check is under way, once more after it."""
    conn.execute(
        """UPDATE domain_controls SET asked_at = %(now)s, due_at = COALESCE(due_at, %(at)s)
           WHERE subscriber_id = %(subscriber_id)s AND domain = %(domain)s""",
        {"subscriber_id": subscriber_id, "domain": domain, "now": now, "at": at},
    )


def claim_due_control(conn: Conn, now: datetime, lease: timedelta) -> DomainControl | None:
    """Claim a due domain of the subscriber who was served longest ago, under a lease that doubles with each attempt.

    A subscriber has one check under way at a time: slow name servers of one delay no other.
    """
    with conn.cursor(row_factory=class_row(DomainControl)) as cursor:
        return cursor.execute(
            f"""WITH first AS (
                    SELECT DISTINCT ON (d.subscriber_id) d.subscriber_id, d.domain, d.due_at,
                           (SELECT max(s.claimed_at) FROM domain_controls AS s
                            WHERE s.subscriber_id = d.subscriber_id AND s.claimed_at IS NOT NULL) AS served_at
                    FROM domain_controls AS d
                    WHERE d.due_at <= %(now)s AND NOT EXISTS (
                        SELECT 1 FROM domain_controls AS u
                        WHERE u.subscriber_id = d.subscriber_id AND u.due_at > %(now)s AND u.attempts > 0)
                    ORDER BY d.subscriber_id, d.due_at)
                UPDATE domain_controls SET attempts = attempts + 1, claimed_at = %(now)s,
                       due_at = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE (subscriber_id, domain) = (
                    SELECT c.subscriber_id, c.domain
                    FROM domain_controls AS c JOIN first USING (subscriber_id, domain)
                    WHERE c.due_at <= %(now)s
                    ORDER BY first.served_at NULLS FIRST, first.due_at
                    LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
                RETURNING {_CONTROL}""",
            {"now": now, "lease": lease},
        ).fetchone()


def save_checked(conn: Conn, control: DomainControl, *, began_at: datetime, used_at: datetime | None) -> None:
    """Record that the due check was made, and that the random value has proved control; it is due again if asked for
    since it began.
    """
    conn.execute(
        """UPDATE domain_controls SET attempts = 0, used_at = COALESCE(used_at, %(used_at)s),
                  due_at = CASE WHEN asked_at > %(began_at)s THEN asked_at END
           WHERE subscriber_id = %(subscriber_id)s AND domain = %(domain)s""",
        {
            "subscriber_id": control.subscriber_id,
            "domain": control.domain,
            "began_at": began_at,
            "used_at": used_at,
        },
    )


def add_check(conn: Conn, check: DomainCheck, reports: Mapping[str, Any]) -> None:
    """Store a check with all answers. It is never changed."""
    conn.execute(
        f"""INSERT INTO domain_checks ({_CHECK}, reports)
            VALUES (%(check_id)s, %(subscriber_id)s, %(domain)s, %(checked_at)s, %(method)s, %(reason)s, %(quorum)s,
                    %(caa)s, %(seen)s, %(reports)s)""",
        vars(check) | {"caa": Jsonb(check.caa), "seen": Jsonb(check.seen), "reports": Jsonb(reports)},
    )


def latest_checks(
    conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str], until: datetime = _EVER
) -> dict[str, DomainCheck]:
    """Return the last check of each of these domains, up to that moment."""
    with conn.cursor(row_factory=class_row(DomainCheck)) as cursor:
        found = cursor.execute(
            f"""SELECT c.* FROM unnest(%s::text[]) AS wanted (domain), LATERAL (
                    SELECT {_CHECK} FROM domain_checks AS d
                    WHERE d.subscriber_id = %s AND d.domain = wanted.domain AND d.checked_at <= %s
                    ORDER BY d.checked_at DESC LIMIT 1) AS c""",
            (list(domains), subscriber_id, until),
        ).fetchall()
    return {check.domain: check for check in found}


def latest_proofs(
    conn: Conn, subscriber_id: SubscriberId, domains: Sequence[str], until: datetime
) -> list[DomainProof]:
    """Return each domain's last proof of control by each method up to that moment, in order of domain and method."""
    with conn.cursor(row_factory=class_row(DomainProof)) as cursor:
        return cursor.execute(
            """SELECT c.*
               FROM unnest(%s::text[]) AS wanted (domain), unnest(ARRAY['7', '18']) AS by (method), LATERAL (
                    SELECT check_id, domain, method, checked_at, quorum FROM domain_checks AS d
                    WHERE d.subscriber_id = %s AND d.domain = wanted.domain AND d.method = by.method
                      AND d.checked_at <= %s
                    ORDER BY d.checked_at DESC LIMIT 1) AS c
               ORDER BY c.domain, c.method""",
            (list(domains), subscriber_id, until),
        ).fetchall()


def wake_orders(conn: Conn, subscriber_id: SubscriberId, now: datetime) -> None:
    """Have the subscriber's waiting orders examined now, once no check of its domains is due any more.

    Call it in a transaction of its own: it locks orders.
    """
    conn.execute(
        """UPDATE orders SET due_at = %(now)s, attempts = 0 WHERE item_id IN (
               SELECT o.item_id FROM orders AS o JOIN renewals AS r ON r.renewal_id = o.renewal_id
               WHERE r.subscriber_id = %(subscriber_id)s AND o.state = 'csr-received' AND o.due_at > %(now)s
                 AND NOT EXISTS (SELECT 1 FROM domain_controls AS c
                                 WHERE c.subscriber_id = %(subscriber_id)s AND c.due_at IS NOT NULL)
               ORDER BY o.item_id FOR UPDATE OF o)""",
        {"now": now, "subscriber_id": subscriber_id},
    )
