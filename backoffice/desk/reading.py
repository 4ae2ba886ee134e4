"""SQL of the desk's pages; lists are paginated by key."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from psycopg.rows import class_row

from backoffice.desk.searching import Sought
from shared.db import Conn
from shared.operators.pagination import Keyset, cut

PAGE: Final = 25
MAX_FOUND: Final = 100


class Standing(StrEnum):
    """The three lists of certificates."""

    WAITING = "waiting"
    ISSUED = "issued"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A certificate that is being renewed, or was issued. `since` is the time of its last change of state."""

    item_id: uuid.UUID
    renewal_id: uuid.UUID
    reference: str | None
    srn: str | None
    product: str | None
    server_names: list[str]
    subscriber: str | None
    state: str
    since: datetime | None
    refusal: str | None
    serial: str | None
    not_before: datetime | None
    not_after: datetime | None
    sha256: str | None
    key_kind: str | None
    accepted_at: datetime | None
    revoked_at: datetime | None
    revocation: str | None
    obstacles: list[dict[str, Any]]
    waits_until: datetime | None


# An existing certificate takes precedence over other states; an ended item comes last.
_STATE: Final = """CASE
    WHEN i.revoked_at IS NOT NULL THEN 'revoked'
    WHEN i.accepted_at IS NOT NULL THEN 'accepted'
    WHEN i.issued_at IS NOT NULL THEN 'issued'
    WHEN i.refused_at IS NOT NULL THEN 'refused'
    WHEN i.withdrawn_at IS NOT NULL THEN 'withdrawn'
    WHEN i.csr_received_at IS NOT NULL AND i.obstacles <> '[]' THEN 'delayed'
    WHEN i.csr_received_at IS NOT NULL THEN 'csr-received'
    WHEN i.opened_at IS NOT NULL THEN 'awaiting-csr'
    ELSE 'order-awaited' END"""
_BEGUN: Final = "LEAST(i.requested_at, i.opened_at)"
_SINCE: Final = f"""COALESCE(i.revoked_at, i.accepted_at, i.issued_at, i.refused_at, i.withdrawn_at, i.csr_received_at,
    {_BEGUN})"""
_ITEMS: Final = f"""SELECT i.item_id, i.renewal_id, i.reference, i.srn, i.product, i.server_names, r.subscriber,
    {_STATE} AS state, {_SINCE} AS since, i.refusal, i.serial, i.not_before, i.not_after, i.sha256, i.key_kind,
    i.accepted_at, i.revoked_at, i.revocation, i.obstacles, i.waits_until
    FROM items AS i LEFT JOIN renewals AS r ON r.renewal_id = i.renewal_id"""
# Newest first, except the waiting items: oldest first.
_LISTS: Final = {
    Standing.WAITING: (
        "i.issued_at IS NULL AND i.refused_at IS NULL AND i.withdrawn_at IS NULL",
        Keyset(columns=(_BEGUN, "i.item_id")),
    ),
    Standing.ISSUED: (
        "i.issued_at IS NOT NULL",
        Keyset(columns=("i.issued_at", "i.item_id"), descending=True),
    ),
    Standing.REFUSED: (
        "i.refused_at IS NOT NULL",
        Keyset(columns=("i.refused_at", "i.item_id"), descending=True),
    ),
}
_AFTER: Final = "items AS i WHERE i.item_id = %(after)s"


def list_items(conn: Conn, standing: Standing, after: uuid.UUID | None) -> tuple[list[Item], uuid.UUID | None]:
    """Return a page of a list, and the item after which the next page begins."""
    condition, keyset = _LISTS[standing]
    follows = f"AND {keyset.follows(_AFTER)}" if after else ""
    found = _items(conn, f"WHERE {condition} {follows} {keyset.order} LIMIT {PAGE + 1}", {"after": after})
    shown, last = cut(found, PAGE)
    return shown, None if last is None else last.item_id


def find_items(conn: Conn, sought: Sought) -> list[Item]:
    """Return every item that the text may mean, newest first; at most MAX_FOUND."""
    return _items(
        conn,
        f"""WHERE i.item_id IN (
                SELECT item_id FROM items WHERE reference LIKE %(reference)s
                UNION SELECT item_id FROM items JOIN renewals USING (renewal_id)
                      WHERE renewals.reference LIKE %(reference)s
                UNION SELECT item_id FROM items WHERE srn = %(srn)s
                UNION SELECT item_id FROM items WHERE serial = %(serial)s
                UNION SELECT item_id FROM items WHERE renewal_id = %(renewal_id)s
                UNION SELECT item_id FROM item_names WHERE reversed = %(reversed)s
                UNION SELECT item_id FROM item_names WHERE reversed LIKE %(under)s
                UNION SELECT item_id FROM envelopes WHERE registered_number = %(registered_number)s)
            ORDER BY {_BEGUN} DESC NULLS LAST, i.item_id LIMIT {MAX_FOUND}""",
        _parameters(sought),
    )


def _parameters(sought: Sought) -> dict[str, Any]:
    reversed_name = sought.server_name[::-1] if sought.server_name else None
    return {
        "reference": f"{sought.reference}%" if sought.reference else None,
        "srn": sought.srn,
        "serial": sought.serial,
        "renewal_id": sought.renewal_id,
        "reversed": reversed_name,
        "under": f"{_literally(reversed_name)}.%" if reversed_name else None,
        "registered_number": sought.registered_number,
    }


def _literally(text: str) -> str:
    """Return the text escaped for a LIKE pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def items_of(conn: Conn, renewal_id: uuid.UUID) -> list[Item]:
    """Return a renewal's items."""
    return _items(conn, "WHERE i.renewal_id = %(id)s ORDER BY i.reference, i.item_id", {"id": renewal_id})


def _items(conn: Conn, rest: str, parameters: dict[str, Any]) -> list[Item]:
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        return cursor.execute(f"{_ITEMS} {rest}", parameters).fetchall()


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The facts about a renewal other than its items."""

    renewal_id: uuid.UUID
    reference: str | None
    subscriber_id: str | None
    subscriber: str | None
    amount_minor: int | None
    currency: str | None
    submitted_at: datetime | None
    paid_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    ending: str | None
    withheld_at: datetime | None


def find_renewal(conn: Conn, renewal_id: uuid.UUID) -> Renewal | None:
    """Return a renewal, whichever topic named it first."""
    with conn.cursor(row_factory=class_row(Renewal)) as cursor:
        return cursor.execute(
            """SELECT s.renewal_id, r.reference, r.subscriber_id, r.subscriber, r.amount_minor, r.currency,
                      r.submitted_at, r.paid_at, r.completed_at, r.cancelled_at, r.ending, r.withheld_at
               FROM (SELECT %s::uuid AS renewal_id) AS s LEFT JOIN renewals AS r USING (renewal_id)
               WHERE r.renewal_id IS NOT NULL OR EXISTS (SELECT 1 FROM steps WHERE steps.renewal_id = s.renewal_id)""",
            (renewal_id,),
        ).fetchone()


@dataclass(frozen=True, kw_only=True)
class Step:
    """An event on a timeline."""

    topic: str
    sequence: int
    event_id: uuid.UUID
    type: str
    time: datetime
    item_id: uuid.UUID | None
    facts: dict[str, Any]
    position: int | None
    signed_by: str | None


def steps_of(conn: Conn, renewal_id: uuid.UUID) -> list[Step]:
    """Return a renewal's events of all topics by time, but in sequence within each topic."""
    with conn.cursor(row_factory=class_row(Step)) as cursor:
        return cursor.execute(
            """SELECT topic, sequence, event_id, type, time, item_id, facts, position, signed_by
               FROM steps WHERE renewal_id = %s
               ORDER BY max(time) OVER (PARTITION BY topic ORDER BY sequence), topic, sequence""",
            (renewal_id,),
        ).fetchall()


@dataclass(frozen=True, kw_only=True)
class Thread:
    """The last sequence number applied of one topic and renewal, and the reason of a hold, if any."""

    topic: str
    last_sequence: int
    held_since: datetime | None
    held_reason: str | None


@dataclass(frozen=True, kw_only=True)
class SkippedEvent:
    """A skipped event."""

    topic: str
    sequence: int | None
    time: datetime
    actor: str
    reason: str


def find_skipped(conn: Conn, renewal_id: uuid.UUID) -> list[SkippedEvent]:
    """Return the events of a renewal that were skipped at the desk, oldest first; without repetitions by a rebuild."""
    with conn.cursor(row_factory=class_row(SkippedEvent)) as cursor:
        return cursor.execute(
            """SELECT topic, sequence, time, actor, reason FROM (
                   SELECT DISTINCT ON (details->>'topic', details->>'at') id, time, actor, details->>'topic' AS topic,
                          (details->>'sequence')::bigint AS sequence, details->>'reason' AS reason
                   FROM audit_log WHERE action = 'event-skipped' AND subject = %s::text
                   ORDER BY details->>'topic', details->>'at', id) AS decided
               ORDER BY id""",
            (renewal_id,),
        ).fetchall()


def threads_of(conn: Conn, renewal_id: uuid.UUID) -> list[Thread]:
    """Return the desk's inbox rows of a renewal."""
    with conn.cursor(row_factory=class_row(Thread)) as cursor:
        return cursor.execute(
            """SELECT topic, last_sequence, held_since, held_reason FROM inbox
               WHERE consumer = 'desk' AND key = %s::text ORDER BY topic""",
            (renewal_id,),
        ).fetchall()
