"""SQL of application; takes a connection and never commits.

Lock order of this service: renewals in the order of their ids, then subscriptions (in a submission: in the order of
their SRNs), items, timers. The claim of a timer locks nothing else; an import skips locked subscriptions.
"""

import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row, kwargs_row
from psycopg.types.json import Jsonb

from services.application.domain import (
    DEADLINES,
    EndReason,
    Item,
    ItemState,
    Refund,
    Renewal,
    RenewalKind,
    RenewalState,
)
from services.application.subscription import Subscription
from shared.db import Conn
from shared.events.application import NotifiedObstacle
from shared.events.issuance import Obstacle
from shared.runtime.pruning import Rule
from shared.vocabulary import ItemId, Language, Product, RenewalId, SubscriberId

_SUBSCRIPTION: Final = (
    "srn, subscriber_id, subscriber_name, ar_id, ar_name, product, server_names, additional_servers, standing, "
    "certificate, serial, not_after, paid_from, paid_until"
)
_RENEWAL: Final = (
    "id, kind, reference, subscriber_id, subscriber_name, ar_id, language, state, document, document_sha256, "
    "amount_minor, currency, attestation, payment_id, receipt, captured_minor, ending, created_at, submitted_at, "
    "ended_at"
)
_ITEM: Final = (
    "id, renewal_id, position, reference, srn, product, server_names, additional_servers, current_serial, "
    "amount_minor, state, serial, obstacles, notified, paid_from, paid_until, "
    "present_server_names"
)


OPEN_RENEWALS: Final = "SELECT state, count(*) FROM timers GROUP BY state"
OLDEST_DUE: Final = """SELECT 'fire-timer', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float FROM timers
                       WHERE due_at <= %(now)s"""
# An AR may return to a draft, but not after so long: terms and prices have changed by then. Only its items refer to it,
# unless it has a timeline already.
DRAFTS: Final = Rule(
    table="renewals",
    keep=((date(2026, 1, 1), timedelta(days=90)),),
    statement="""WITH old AS (
                   SELECT id FROM renewals AS r WHERE state = 'draft' AND created_at < %(before)s
                     AND NOT EXISTS (SELECT 1 FROM timeline AS t WHERE t.renewal_id = r.id)
                   ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
                 of_old AS (DELETE FROM items USING old WHERE items.renewal_id = old.id)
                 DELETE FROM renewals USING old WHERE renewals.id = old.id""",
)


def _subscription(product: str, server_names: list[str], **rest: Any) -> Subscription:
    return Subscription(product=Product(product), server_names=tuple(server_names), **rest)


def _renewal(kind: str, language: str, state: str, ending: str | None, **rest: Any) -> Renewal:
    return Renewal(
        kind=RenewalKind(kind),
        language=Language(language),
        state=RenewalState(state),
        ending=None if ending is None else EndReason(ending),
        **rest,
    )


def _item(
    *,
    product: str,
    server_names: list[str],
    state: str,
    obstacles: list[dict[str, Any]],
    notified: list[dict[str, Any]],
    present_server_names: list[str] | None,
    **rest: Any,
) -> Item:
    return Item(
        present_server_names=None if present_server_names is None else tuple(present_server_names),
        product=Product(product),
        server_names=tuple(server_names),
        state=ItemState(state),
        obstacles=tuple(Obstacle(**each) for each in obstacles),
        notified=tuple(NotifiedObstacle(**each) for each in notified),
        **rest,
    )


def find_subscriptions(conn: Conn, subscriber_id: SubscriberId) -> list[tuple[Subscription, RenewalId | None]]:
    """Return a subscriber's subscriptions, each with its open renewal, if there is one."""
    with conn.cursor(row_factory=kwargs_row(lambda renewal_id, **s: (_subscription(**s), renewal_id))) as cursor:
        return cursor.execute(
            f"""SELECT {_SUBSCRIPTION},
                    (SELECT renewal_id FROM items WHERE items.srn = subscriptions.srn AND open) AS renewal_id
                FROM subscriptions WHERE subscriber_id = %s ORDER BY not_after, srn""",
            (subscriber_id,),
        ).fetchall()


def lock_subscriptions(conn: Conn, srns: Sequence[str], subscriber_id: SubscriberId) -> list[Subscription]:
    """Lock a subscriber's subscriptions in SRN order, so that two submissions cannot deadlock."""
    with conn.cursor(row_factory=kwargs_row(_subscription)) as cursor:
        return cursor.execute(
            f"""SELECT {_SUBSCRIPTION} FROM subscriptions WHERE srn = ANY(%s) AND subscriber_id = %s
                ORDER BY srn FOR UPDATE""",
            (list(srns), subscriber_id),
        ).fetchall()


def find_ars_of_record(conn: Conn, renewal_id: RenewalId) -> set[str]:
    """Return the present ARs of record of a renewal's subscriptions; none for one that is no longer
    the subscriber's.
    """
    rows = conn.execute(
        """SELECT DISTINCT CASE WHEN s.subscriber_id = r.subscriber_id THEN s.ar_id ELSE '' END
           FROM items AS i JOIN renewals AS r ON r.id = i.renewal_id JOIN subscriptions AS s ON s.srn = i.srn
           WHERE i.renewal_id = %s""",
        (renewal_id,),
    )
    return {row[0] for row in rows}


def are_being_renewed(conn: Conn, srns: Sequence[str]) -> set[str]:
    """Return those of the SRNs that have an open renewal."""
    return {row[0] for row in conn.execute("SELECT srn FROM items WHERE open AND srn = ANY(%s)", (list(srns),))}


def renew_subscription(conn: Conn, item: Item, *, certificate: str, serial: str, not_after: datetime) -> None:
    """Store the subscription's new current certificate, in good standing, and what was bought with it: server names,
    additional servers and, unless it is over before the present one, the paid period. Its reminders are due to be
    looked at.
    """
    conn.execute(
        """UPDATE subscriptions SET certificate = %s, serial = %s, not_after = %s, standing = 'active',
                  server_names = %s, additional_servers = %s, reminder_due_at = 'epoch'
           WHERE srn = %s""",
        (certificate, serial, not_after, list(item.server_names), item.additional_servers, item.srn),
    )
    if item.period is not None:
        conn.execute(
            "UPDATE subscriptions SET paid_from = %s, paid_until = %s WHERE srn = %s AND paid_until < %s",
            (item.period.first, item.period.last, item.srn, item.period.last),
        )


def revoke_subscription(conn: Conn, srn: str, *, serial: str) -> None:
    """Record the revocation of the current certificate; a replaced one changes nothing."""
    conn.execute("UPDATE subscriptions SET standing = 'revoked' WHERE srn = %s AND serial = %s", (srn, serial))


def add_renewal(conn: Conn, renewal: Renewal, items: Sequence[Item]) -> None:
    """Insert a draft."""
    conn.execute(
        """INSERT INTO renewals (id, kind, reference, subscriber_id, subscriber_name, ar_id, language, state, document,
                                 document_sha256, amount_minor, currency, created_at)
           VALUES (%(id)s, %(kind)s, %(reference)s, %(subscriber_id)s, %(subscriber_name)s, %(ar_id)s, %(language)s,
                   %(state)s, %(document)s, %(document_sha256)s, %(amount_minor)s, %(currency)s, %(created_at)s)""",
        vars(renewal),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO items (id, renewal_id, position, reference, srn, product, server_names, additional_servers,
                                  current_serial, amount_minor, state, paid_from, paid_until, present_server_names)
               VALUES (%(id)s, %(renewal_id)s, %(position)s, %(reference)s, %(srn)s, %(product)s, %(server_names)s,
                       %(additional_servers)s, %(current_serial)s, %(amount_minor)s, %(state)s, %(paid_from)s,
                       %(paid_until)s, %(present_server_names)s)""",
            [vars(item) | _arrays(item) for item in items],
        )


def _arrays(item: Item) -> dict[str, list[str] | None]:
    arrays = {"server_names": item.server_names, "present_server_names": item.present_server_names}
    return {name: None if names is None else list(names) for name, names in arrays.items()}


def lock_renewal(conn: Conn, renewal_id: RenewalId, *, skip_locked: bool = False) -> Renewal | None:
    """Return the renewal, locked; None if there is none, or if another transaction has it and `skip_locked` is set."""
    lock = "FOR UPDATE SKIP LOCKED" if skip_locked else "FOR UPDATE"
    with conn.cursor(row_factory=kwargs_row(_renewal)) as cursor:
        return cursor.execute(f"SELECT {_RENEWAL} FROM renewals WHERE id = %s {lock}", (renewal_id,)).fetchone()


def lock_own_renewal(conn: Conn, renewal_id: RenewalId, subscriber_id: SubscriberId) -> Renewal | None:
    """Return the subscriber's own renewal, locked; None for anybody else's."""
    renewal = lock_renewal(conn, renewal_id)
    return renewal if renewal is not None and renewal.subscriber_id == subscriber_id else None


def find_renewal(conn: Conn, renewal_id: RenewalId) -> Renewal | None:
    """Return the renewal, unlocked."""
    with conn.cursor(row_factory=kwargs_row(_renewal)) as cursor:
        return cursor.execute(f"SELECT {_RENEWAL} FROM renewals WHERE id = %s", (renewal_id,)).fetchone()


def find_renewals(conn: Conn, subscriber_id: SubscriberId, limit: int) -> list[Renewal]:
    """Return a subscriber's renewals, newest first."""
    with conn.cursor(row_factory=kwargs_row(_renewal)) as cursor:
        return cursor.execute(
            f"SELECT {_RENEWAL} FROM renewals WHERE subscriber_id = %s ORDER BY created_at DESC, id LIMIT %s",
            (subscriber_id, limit),
        ).fetchall()


def save_transition(conn: Conn, was: Renewal, renewal: Renewal, now: datetime) -> None:
    """Store the renewal after a transition; in a new state, set the deadline of that state."""
    save_renewal(conn, renewal)
    if renewal.state is not was.state and not renewal.state.ended:
        set_timer(conn, renewal.id, renewal.state, now + DEADLINES[renewal.state])


def save_renewal(conn: Conn, renewal: Renewal) -> None:
    """Store the renewal's changes; when it ends, its subscriptions become free and its deadline is deleted."""
    conn.execute(
        """UPDATE renewals SET state = %(state)s, attestation = %(attestation)s, payment_id = %(payment_id)s,
               receipt = %(receipt)s, captured_minor = %(captured_minor)s, ending = %(ending)s,
               submitted_at = %(submitted_at)s, ended_at = %(ended_at)s
           WHERE id = %(id)s""",
        vars(renewal),
    )
    if renewal.state.ended:
        conn.execute("UPDATE items SET open = false WHERE renewal_id = %s AND open", (renewal.id,))
        conn.execute("DELETE FROM timers WHERE renewal_id = %s", (renewal.id,))


def open_items(conn: Conn, renewal_id: RenewalId) -> bool:
    """Claim the renewal's subscriptions. Returns False if another open renewal has one of them."""
    try:
        with conn.transaction():
            conn.execute("UPDATE items SET open = true WHERE renewal_id = %s", (renewal_id,))
    except UniqueViolation:
        return False
    return True


def find_items(conn: Conn, renewal_id: RenewalId) -> list[Item]:
    """Return a renewal's items, in order."""
    with conn.cursor(row_factory=kwargs_row(_item)) as cursor:
        return cursor.execute(
            f"SELECT {_ITEM} FROM items WHERE renewal_id = %s ORDER BY position", (renewal_id,)
        ).fetchall()


def find_item(conn: Conn, item_id: ItemId) -> Item | None:
    """Return one item."""
    with conn.cursor(row_factory=kwargs_row(_item)) as cursor:
        return cursor.execute(f"SELECT {_ITEM} FROM items WHERE id = %s", (item_id,)).fetchone()


def save_item(conn: Conn, item: Item) -> None:
    """Store an item's state, its obstacles, and the serial number of its certificate."""
    conn.execute(
        "UPDATE items SET state = %s, serial = %s, obstacles = %s, notified = %s WHERE id = %s",
        (item.state, item.serial, Jsonb([*map(vars, item.obstacles)]), Jsonb([*map(vars, item.notified)]), item.id),
    )


def set_timer(conn: Conn, renewal_id: RenewalId, state: RenewalState, due_at: datetime) -> None:
    """Set the deadline of the renewal's present state, replacing the last state's."""
    conn.execute(
        """INSERT INTO timers (renewal_id, state, due_at) VALUES (%s, %s, %s)
           ON CONFLICT (renewal_id) DO UPDATE SET state = excluded.state, due_at = excluded.due_at, attempts = 0,
               leased_until = NULL""",
        (renewal_id, state, due_at),
    )


def find_deadline(conn: Conn, renewal_id: RenewalId) -> datetime | None:
    """Return the deadline of the renewal's present state."""
    row = conn.execute("SELECT due_at FROM timers WHERE renewal_id = %s", (renewal_id,)).fetchone()
    return None if row is None else row[0]


_TIMER_LEASE: Final = timedelta(seconds=5)


def claim_due_timer(conn: Conn, now: datetime) -> RenewalId | None:
    """Claim a due timer under a lease, those without an attempt first. The lease doubles with each attempt.

    The claim is a separate transaction: the renewal is locked before its timer, as in every handler, so a timer and an
    event never deadlock.
    """
    row = conn.execute(
        """UPDATE timers SET attempts = attempts + 1,
                  leased_until = %(now)s + %(lease)s * power(2, LEAST(attempts, 8))
           WHERE renewal_id = (
               SELECT renewal_id FROM timers
               WHERE due_at <= %(now)s AND (leased_until IS NULL OR leased_until <= %(now)s)
               ORDER BY attempts > 0, due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING renewal_id""",
        {"now": now, "lease": _TIMER_LEASE},
    ).fetchone()
    return None if row is None else RenewalId(row[0])


def consume_timer(conn: Conn, renewal: Renewal, now: datetime) -> bool:
    """Delete the locked renewal's timer. Returns False if it was changed or deleted before the lock was acquired."""
    changed = conn.execute(
        "DELETE FROM timers WHERE renewal_id = %s AND state = %s AND due_at <= %s",
        (renewal.id, renewal.state, now),
    )
    return changed.rowcount == 1


def add_refund(conn: Conn, refund: Refund, renewal_id: RenewalId, due_at: datetime) -> bool:
    """Record a due refund. Returns False if the renewal or item has one already."""
    changed = conn.execute(
        """INSERT INTO refunds (id, renewal_id, item_id, amount_minor, due_at) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT DO NOTHING""",
        (refund.id, renewal_id, refund.item_id, refund.amount_minor, due_at),
    )
    return changed.rowcount == 1


def refunds_total(conn: Conn, renewal_id: RenewalId) -> int:
    """Return the sum of due and made refunds, in minor units."""
    row = conn.execute(
        "SELECT COALESCE(sum(amount_minor), 0) FROM refunds WHERE renewal_id = %s", (renewal_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def find_refunds(conn: Conn, renewal_id: RenewalId) -> list[Refund]:
    """Return a renewal's refunds."""
    with conn.cursor(row_factory=class_row(Refund)) as cursor:
        return cursor.execute(
            "SELECT id, item_id, amount_minor, refunded_at FROM refunds WHERE renewal_id = %s ORDER BY due_at, id",
            (renewal_id,),
        ).fetchall()


def settle_refund(conn: Conn, refund_id: uuid.UUID, refunded_at: datetime) -> bool:
    """Record that the refund was made. Returns False if that is known."""
    changed = conn.execute(
        "UPDATE refunds SET refunded_at = %s WHERE id = %s AND refunded_at IS NULL", (refunded_at, refund_id)
    )
    return changed.rowcount == 1
