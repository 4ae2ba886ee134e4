"""SQL of PINs and their attempts; takes a connection and never commits. Lock order: see store.py."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from services.issuance.domain import PIN
from services.issuance.pins import pins
from shared.db import Conn
from shared.effect_ids import effect_id
from shared.events.issuance import PINEnvelopeSealed
from shared.runtime.pruning import Rule
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId

_PIN: Final = """envelope_id, item_id, server_name, state, hash, tries, traceparent, planned_at,
    (SELECT count(*) FROM pins AS each
     WHERE each.item_id = pins.item_id AND each.server_name = pins.server_name) AS made"""
# Longer than the topic's retention (30 days): a lost Kafka can be refilled completely.
SEALED_PINS: Final = Rule(
    table="outbox",
    keep=((date(2026, 1, 1), timedelta(days=45)),),
    statement="SELECT * FROM blank_sealed_pins(%(before)s, %(limit)s)",
)


def plan_pin(tx: Tx, item_id: ItemId, server_name: str) -> uuid.UUID:
    """Plan a PIN for this server name under its order's lock. Returns the id of its envelope.

    The id is the same after a restore, so that a letter that was sent is recognised (was_announced).
    """
    row = tx.conn.execute(
        "SELECT count(*) FROM pins WHERE item_id = %s AND server_name = %s", (item_id, server_name)
    ).fetchone()
    assert row is not None
    envelope_id = effect_id("pin", item_id, server_name, row[0] + 1)
    tx.conn.execute(
        """INSERT INTO pins (envelope_id, item_id, server_name, state, planned_at, traceparent)
           VALUES (%s, %s, %s, 'planned', %s, %s)""",
        (envelope_id, item_id, server_name, tx.now, tx.traceparent),
    )
    return envelope_id


def claim_planned_pin(conn: Conn, now: datetime, lease: timedelta) -> uuid.UUID | None:
    """Claim a planned PIN under a lease, those without an attempt first. The lease doubles with each attempt.

    After a restore an order may have its CSR again but not its PIN's hash: no letter is sent unless a CSR is awaited.
    """
    row = conn.execute(
        """UPDATE pins SET attempts = attempts + 1, leased_until = %(now)s + %(lease)s * power(2, LEAST(attempts, 7))
           WHERE envelope_id = (
               SELECT envelope_id FROM pins JOIN orders USING (item_id)
               WHERE pins.state = 'planned' AND (leased_until IS NULL OR leased_until <= %(now)s)
                 AND orders.state = 'awaiting-csr'
               ORDER BY pins.attempts > 0, planned_at LIMIT 1 FOR UPDATE OF pins SKIP LOCKED)
           RETURNING envelope_id""",
        {"now": now, "lease": lease},
    ).fetchone()
    return None if row is None else row[0]


def lock_planned_pin(conn: Conn, envelope_id: uuid.UUID) -> PIN | None:
    """Return the PIN if it is still planned, locked; with the last sealed one that was voided before it."""
    with conn.cursor(row_factory=class_row(PIN)) as cursor:
        return cursor.execute(
            f"""SELECT {_PIN}, (
                    SELECT envelope_id FROM pins AS voided
                    WHERE voided.item_id = pins.item_id AND voided.server_name = pins.server_name
                      AND voided.state = 'void' AND voided.hash IS NOT NULL
                    ORDER BY planned_at DESC LIMIT 1) AS replaces
                FROM pins WHERE state = 'planned' AND envelope_id = %s FOR UPDATE""",
            (envelope_id,),
        ).fetchone()


def was_announced(conn: Conn, renewal_id: RenewalId, envelope_id: uuid.UUID) -> bool:
    """Return whether this envelope was announced although its PIN's hash is missing: the database was restored."""
    row = conn.execute(
        """SELECT 1 FROM outbox WHERE topic = %s AND key = %s AND type = %s
           AND CASE WHEN octet_length(data) > 0  -- blanked after its letter was printed: too long ago to be forgotten
               THEN convert_from(data, 'UTF8')::json ->> 'envelope_id' END = %s LIMIT 1""",
        (PINEnvelopeSealed.TOPIC, str(renewal_id), PINEnvelopeSealed.TYPE, str(envelope_id)),
    ).fetchone()
    return row is not None


def save_forgotten(conn: Conn, envelope_id: uuid.UUID) -> None:
    """Void a PIN whose letter was sent and whose hash is lost, as a sealed one, so that the next one replaces it."""
    conn.execute("UPDATE pins SET state = 'void', hash = 'forgotten' WHERE envelope_id = %s", (envelope_id,))


def save_sealed(conn: Conn, envelope_id: uuid.UUID, hashed: str) -> bool:
    """Record that the PIN was made and sealed. Returns False if it is no longer planned."""
    changed = conn.execute(
        "UPDATE pins SET state = 'sealed', hash = %s WHERE envelope_id = %s AND state = 'planned'",
        (hashed, envelope_id),
    )
    return changed.rowcount == 1


def find_pins(conn: Conn, item_ids: Sequence[ItemId]) -> list[PIN]:
    """Return the PINs in use of these orders."""
    with conn.cursor(row_factory=class_row(PIN)) as cursor:
        return cursor.execute(
            f"SELECT {_PIN} FROM pins WHERE item_id = ANY(%s) AND state <> 'void' ORDER BY server_name",
            (list(item_ids),),
        ).fetchall()


def consume_attempts(conn: Conn, envelope_ids: Sequence[uuid.UUID]) -> int:
    """Consume one attempt of each PIN, in one statement. Returns how many had one left."""
    return conn.execute(
        "UPDATE pins SET tries = tries + 1 WHERE envelope_id = ANY(%s) AND state = 'sealed' AND tries < %s",
        (list(envelope_ids), pins.MAX_ATTEMPTS),
    ).rowcount


def restore_attempts(conn: Conn, envelope_ids: Sequence[uuid.UUID]) -> None:
    """Restore the consumed attempt of each PIN that was right."""
    conn.execute("UPDATE pins SET tries = tries - 1 WHERE envelope_id = ANY(%s) AND tries > 0", (list(envelope_ids),))


def void_pin(conn: Conn, item_id: ItemId, server_name: str) -> uuid.UUID | None:
    """Void the PIN in use of one server name. Returns its envelope, if there was one."""
    row = conn.execute(
        """UPDATE pins SET state = 'void' WHERE item_id = %s AND server_name = %s AND state IN ('planned', 'sealed')
           RETURNING envelope_id""",
        (item_id, server_name),
    ).fetchone()
    return None if row is None else row[0]


def save_pins(conn: Conn, item_id: ItemId, state: str) -> int:
    """Mark an order's PINs in use as spent or void. Returns their number.

    A restore may have lost the hash of a PIN that is spent.
    """
    return conn.execute(
        """UPDATE pins SET state = %(state)s,
               hash = CASE WHEN %(state)s = 'spent' THEN COALESCE(hash, 'forgotten') ELSE hash END
           WHERE item_id = %(item)s AND state IN ('planned', 'sealed')""",
        {"state": state, "item": item_id},
    ).rowcount
