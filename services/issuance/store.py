"""SQL of renewals, their issuance locks, orders and keys; takes a connection and never commits.

Lock order of this service: a key (`lock_key`, one per transaction), issuance locks in order of renewal, orders, PINs,
then certificates in order of renewal and serial.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from services.issuance.domain import Order, OrderState, Organisation, Recipient, Renewal
from shared.db import Conn
from shared.events.application import CancellationRequested
from shared.events.issuance import Obstacle
from shared.messaging import held_events, inbox
from shared.vocabulary import ItemId, Product, RenewalId, SubscriberId

_ORDER: Final = (
    "item_id, renewal_id, position, reference, srn, product, server_names, state, csr, csr_sha256, spki_sha256, "
    "key_kind, csr_received_at, refusal, due_at, traceparent, obstacles, checks_asked_at, reissue"
)
_RENEWAL: Final = (
    "renewal_id, reference, subscriber_id, ar_id, organisation, country, state_or_province, locality, "
    "recipient_name, recipient_address, document, attestation, receipt"
)
OLDEST_DUE: Final = """SELECT 'issue', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(csr_received_at)), 0)::float
                       FROM orders WHERE state = 'csr-received'
                       UNION ALL
                       SELECT 'sign', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(intended_at)), 0)::float FROM intents
                       WHERE state = 'intended'
                       UNION ALL
                       SELECT 'seal-pin', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(planned_at)), 0)::float FROM pins
                       JOIN orders USING (item_id) WHERE pins.state = 'planned' AND orders.state = 'awaiting-csr'"""


def _order(product: str, server_names: list[str], state: str, obstacles: list[dict[str, Any]], **rest: Any) -> Order:
    return Order(
        product=Product(product),
        server_names=tuple(server_names),
        state=OrderState(state),
        obstacles=tuple(Obstacle(**each) for each in obstacles),
        **rest,
    )


def _renewal(
    organisation: str,
    country: str,
    state_or_province: str | None,
    locality: str | None,
    recipient_name: str,
    recipient_address: list[str],
    **rest: Any,
) -> Renewal:
    return Renewal(
        organisation=Organisation(
            name=organisation, country=country, state_or_province=state_or_province, locality=locality
        ),
        recipient=Recipient(name=recipient_name, organisation=organisation, address=tuple(recipient_address)),
        **rest,
    )


def lock_gate(conn: Conn, renewal_id: RenewalId) -> datetime | None:
    """Take the renewal's issuance lock, creating its row if needed.

    Returns when the renewal was withheld, if it was.
    """
    row = conn.execute(
        """INSERT INTO gates (renewal_id) VALUES (%s)
           ON CONFLICT (renewal_id) DO UPDATE SET withheld_at = gates.withheld_at
           RETURNING withheld_at""",
        (renewal_id,),
    ).fetchone()
    assert row is not None
    withheld_at: datetime | None = row[0]
    return withheld_at


def has_intent(conn: Conn, renewal_id: RenewalId) -> bool:
    """Return whether anything of this renewal is signed or will be; call it under the issuance lock."""
    row = conn.execute(
        "SELECT 1 FROM intents WHERE renewal_id = %s AND state IN ('intended', 'signed') LIMIT 1", (renewal_id,)
    ).fetchone()
    return row is not None


def save_withheld(conn: Conn, renewal_id: RenewalId, now: datetime) -> None:
    """Store the tombstone, and end its orders and PINs; call it under the issuance lock."""
    conn.execute("UPDATE gates SET withheld_at = %s WHERE renewal_id = %s AND withheld_at IS NULL", (now, renewal_id))
    conn.execute(
        """UPDATE orders SET state = 'withheld', due_at = NULL
           WHERE renewal_id = %s AND state IN ('awaiting-csr', 'csr-received')""",
        (renewal_id,),
    )
    conn.execute(
        """UPDATE pins SET state = 'void' FROM orders
           WHERE orders.item_id = pins.item_id AND orders.renewal_id = %s AND pins.state IN ('planned', 'sealed')""",
        (renewal_id,),
    )


def find_waiting_cancellation(conn: Conn, since: datetime) -> RenewalId | None:
    """Return a renewal without tombstone or intent whose cancellation has waited since then behind a held event."""
    row = conn.execute(
        """SELECT p.key::uuid FROM parked_events AS p
           WHERE p.consumer = 'issuance' AND p.topic = %(topic)s AND p.reason = %(gap)s AND p.parked_at <= %(since)s
             AND p.headers @> jsonb_build_array(jsonb_build_array('ce_type', %(type)s::text))
             AND p.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
             AND (SELECT i.held_reason FROM inbox AS i
                  WHERE i.consumer = p.consumer AND i.topic = p.topic AND i.key = p.key) <> %(conflict)s
             AND NOT EXISTS (SELECT 1 FROM gates AS g WHERE g.renewal_id = p.key::uuid AND g.withheld_at IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM intents AS n WHERE n.renewal_id = p.key::uuid
                             AND n.state IN ('intended', 'signed'))
           ORDER BY p.id LIMIT 1""",
        {
            "topic": CancellationRequested.TOPIC,
            "type": CancellationRequested.TYPE,
            "gap": held_events.GAP,
            "conflict": inbox.CONFLICT,
            "since": since,
        },
    ).fetchone()
    return None if row is None else RenewalId(row[0])


def add_renewal(conn: Conn, renewal: Renewal, now: datetime) -> bool:
    """Store the renewal and its proofs. Returns False if it exists."""
    fields = {
        "renewal_id": renewal.renewal_id,
        "reference": renewal.reference,
        "subscriber_id": renewal.subscriber_id,
        "ar_id": renewal.ar_id,
        "organisation": renewal.organisation.name,
        "country": renewal.organisation.country,
        "state_or_province": renewal.organisation.state_or_province,
        "locality": renewal.organisation.locality,
        "recipient_name": renewal.recipient.name,
        "recipient_address": list(renewal.recipient.address),
        "document": renewal.document,
        "attestation": renewal.attestation,
        "receipt": renewal.receipt,
        "opened_at": now,
    }
    changed = conn.execute(
        f"""INSERT INTO renewals ({_RENEWAL}, opened_at)
            VALUES (%(renewal_id)s, %(reference)s, %(subscriber_id)s, %(ar_id)s, %(organisation)s, %(country)s,
                    %(state_or_province)s, %(locality)s, %(recipient_name)s, %(recipient_address)s, %(document)s,
                    %(attestation)s, %(receipt)s, %(opened_at)s)
            ON CONFLICT (renewal_id) DO NOTHING""",
        fields,
    )
    return changed.rowcount == 1


def find_renewal(conn: Conn, renewal_id: RenewalId) -> Renewal | None:
    """Return the renewal with its proofs."""
    with conn.cursor(row_factory=kwargs_row(_renewal)) as cursor:
        return cursor.execute(f"SELECT {_RENEWAL} FROM renewals WHERE renewal_id = %s", (renewal_id,)).fetchone()


def add_order(conn: Conn, order: Order) -> bool:
    """Open an order. Returns False if its item or its reference belongs to another order."""
    changed = conn.execute(
        """INSERT INTO orders (item_id, renewal_id, position, reference, srn, product, server_names, state,
                               traceparent, reissue)
           VALUES (%(item_id)s, %(renewal_id)s, %(position)s, %(reference)s, %(srn)s, %(product)s,
                   %(server_names)s, %(state)s, %(traceparent)s, %(reissue)s)
           ON CONFLICT DO NOTHING""",
        vars(order) | {"server_names": list(order.server_names)},
    )
    return changed.rowcount == 1


def lock_order(conn: Conn, item_id: ItemId) -> Order | None:
    """Return the order, locked; take its issuance lock first."""
    with conn.cursor(row_factory=kwargs_row(_order)) as cursor:
        return cursor.execute(f"SELECT {_ORDER} FROM orders WHERE item_id = %s FOR UPDATE", (item_id,)).fetchone()


def find_listing_times(conn: Conn, serials: Collection[str]) -> dict[str, datetime]:
    """Return the time of the first CRL with each revoked certificate; one that no CRL lists yet is absent."""
    rows = conn.execute(
        """SELECT c.serial, l.this_update FROM certificates AS c JOIN crls AS l ON l.number = c.listed_in
           WHERE c.serial = ANY(%s) AND l.der IS NOT NULL""",
        (list(serials),),
    )
    return {str(serial): listed_at for serial, listed_at in rows}


def find_order(conn: Conn, item_id: ItemId) -> Order | None:
    """Return the order, without a lock."""
    with conn.cursor(row_factory=kwargs_row(_order)) as cursor:
        return cursor.execute(f"SELECT {_ORDER} FROM orders WHERE item_id = %s", (item_id,)).fetchone()


def find_order_by_reference(conn: Conn, reference: str) -> Order | None:
    """Return the order with this reference number, without a lock."""
    with conn.cursor(row_factory=kwargs_row(_order)) as cursor:
        return cursor.execute(f"SELECT {_ORDER} FROM orders WHERE reference = %s", (reference,)).fetchone()


def find_orders(conn: Conn, renewal_id: RenewalId) -> list[Order]:
    """Return a renewal's orders in the document's order."""
    with conn.cursor(row_factory=kwargs_row(_order)) as cursor:
        return cursor.execute(
            f"SELECT {_ORDER} FROM orders WHERE renewal_id = %s ORDER BY position", (renewal_id,)
        ).fetchall()


def save_order(conn: Conn, order: Order) -> None:
    """Store an order's changes."""
    conn.execute(
        """UPDATE orders SET state = %(state)s, csr = %(csr)s, csr_sha256 = %(csr_sha256)s,
               spki_sha256 = %(spki_sha256)s, key_kind = %(key_kind)s, csr_received_at = %(csr_received_at)s,
               refusal = %(refusal)s, due_at = %(due_at)s, traceparent = %(traceparent)s, obstacles = %(obstacles)s,
               checks_asked_at = %(checks_asked_at)s,
               attempts = 0
           WHERE item_id = %(item_id)s""",
        vars(order) | {"server_names": list(order.server_names), "obstacles": Jsonb([*map(vars, order.obstacles)])},
    )


def claim_due_order(conn: Conn, now: datetime, lease: timedelta, *, fresh: bool) -> Order | None:
    """Claim the order whose CSR has waited longest, under a lease: of those without an attempt, or of those that
    failed.

    The lease doubles with each attempt, so an order that always fails delays no other.
    """
    with conn.cursor(row_factory=kwargs_row(_order)) as cursor:
        return cursor.execute(
            f"""UPDATE orders SET attempts = attempts + 1, due_at = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE item_id = (
                    SELECT item_id FROM orders
                    WHERE state = 'csr-received' AND due_at <= %(now)s AND (attempts = 0) = %(fresh)s
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING {_ORDER}""",
            {"now": now, "lease": lease, "fresh": fresh},
        ).fetchone()


def claim_key(conn: Conn, spki_sha256: bytes, subscriber_id: SubscriberId, item_id: ItemId) -> tuple[str, uuid.UUID]:
    """Return the first subscriber and order of this key: these, if it is new."""
    row = conn.execute(
        """INSERT INTO key_owners (spki_sha256, subscriber_id, item_id) VALUES (%s, %s, %s)
           ON CONFLICT (spki_sha256) DO UPDATE SET subscriber_id = key_owners.subscriber_id
           RETURNING subscriber_id, item_id""",
        (spki_sha256, subscriber_id, item_id),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def find_key_owner(conn: Conn, spki_sha256: bytes) -> tuple[str, uuid.UUID] | None:
    """Return the first subscriber and order of this key, if it was ever used."""
    row = conn.execute(
        "SELECT subscriber_id, item_id FROM key_owners WHERE spki_sha256 = %s", (spki_sha256,)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def lock_key(conn: Conn, spki_sha256: bytes) -> None:
    """Lock a key until the transaction ends, so that storing something with it and blocking it exclude each other."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(encode(%s, 'hex'), 0))", (spki_sha256,))


def add_blocked_key(conn: Conn, spki_sha256: bytes, source: str, now: datetime) -> bool:
    """Block this key for good. Returns False if it was blocked before."""
    changed = conn.execute(
        "INSERT INTO blocked_keys (spki_sha256, source, blocked_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (spki_sha256, source, now),
    )
    return changed.rowcount == 1


def is_blocked(conn: Conn, spki_sha256: bytes) -> bool:
    """Return whether this key was ever blocked."""
    return conn.execute("SELECT 1 FROM blocked_keys WHERE spki_sha256 = %s", (spki_sha256,)).fetchone() is not None
