"""SQL of a recovery after a restore: announced facts, and re-inserted rows; never commits."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.issuance.domain import Certificate
from shared.db import Conn
from shared.events.base import Topic
from shared.events.issuance import CertificateIssued, CertificateRevoked, OrderOpened
from shared.vocabulary import ItemId, RenewalId

# More CRLs than can have been published without the database's knowledge: one a second for eleven days.
CRL_STEP: Final = 1_000_000


class Announced(NamedTuple):
    """An event of our own, as in the outbox."""

    type: str
    time: datetime
    data: bytes


class Missing(NamedTuple):
    """An announced certificate that the database lacks."""

    serial: str
    key: str


def find_announced(conn: Conn, renewal_id: RenewalId, recovery_id: int | None) -> list[Announced]:
    """Return the renewal's own events in their order: of one recovery, or all of them."""
    rows = conn.execute(
        """SELECT type, time, data FROM outbox
           WHERE topic = ANY(%(topics)s) AND key = %(key)s AND octet_length(data) > 0
             AND (%(recovery)s::bigint IS NULL OR recovery_id = %(recovery)s)
           ORDER BY topic, sequence""",
        {"topics": [Topic.ISSUANCE, Topic.PIN_ENVELOPES], "key": str(renewal_id), "recovery": recovery_id},
    ).fetchall()
    return [Announced(*row) for row in rows]


def keep_envelope(conn: Conn, item_id: ItemId, server_name: str, envelope_id: uuid.UUID, planned_at: datetime) -> None:
    """Add a lost PIN as planned, in place of the one in use; a known one keeps its state.

    Without its order nothing changes.
    """
    known = conn.execute(
        "UPDATE pins SET planned_at = LEAST(planned_at, %s) WHERE envelope_id = %s", (planned_at, envelope_id)
    ).rowcount
    if known or conn.execute("SELECT 1 FROM orders WHERE item_id = %s", (item_id,)).fetchone() is None:
        return
    conn.execute(
        "UPDATE pins SET state = 'void' WHERE item_id = %s AND server_name = %s AND state IN ('planned', 'sealed')",
        (item_id, server_name),
    )
    conn.execute(
        "INSERT INTO pins (envelope_id, item_id, server_name, state, planned_at) VALUES (%s, %s, %s, 'planned', %s)",
        (envelope_id, item_id, server_name, planned_at),
    )


def mark_sealed_voided(conn: Conn, envelope_ids: Collection[uuid.UUID]) -> None:
    """Record that the letters of voided PINs without a hash were sent: the next letter names the
    one that it replaces.
    """
    conn.execute(
        "UPDATE pins SET hash = 'forgotten' WHERE envelope_id = ANY(%s) AND state = 'void' AND hash IS NULL",
        ([*envelope_ids],),
    )


def keep_intent(conn: Conn, certificate: Certificate, state: str, *, tbs: bytes, certificate_tbs: bytes | None) -> None:
    """Re-insert the intent of an existing certificate; without `certificate_tbs` if that has no SCTs.

    Raises psycopg.errors.UniqueViolation if its order has an intent with another serial number.
    """
    conn.execute(
        """INSERT INTO intents (item_id, renewal_id, serial, tbs, certificate_tbs, state, findings, intended_at)
           VALUES (%(item_id)s, %(renewal_id)s, %(serial)s, %(tbs)s, %(certificate_tbs)s, %(state)s, '{}',
                   %(issued_at)s)
           ON CONFLICT (serial) DO UPDATE
           SET state = excluded.state, certificate_tbs = excluded.certificate_tbs, due_at = NULL""",
        {**vars(certificate), "tbs": tbs, "certificate_tbs": certificate_tbs, "state": state},
    )


def find_unopened(conn: Conn, recovery_id: int) -> list[str]:
    """Return the keys of renewals whose orders were announced as opened, and are missing here."""
    rows = conn.execute(
        """SELECT DISTINCT key FROM outbox AS o WHERE recovery_id = %s AND type = %s
           AND NOT EXISTS (SELECT 1 FROM renewals AS r WHERE r.renewal_id = o.key::uuid) ORDER BY key""",
        (recovery_id, OrderOpened.TYPE),
    ).fetchall()
    return [str(row[0]) for row in rows]


def find_missing(conn: Conn, recovery_id: int) -> Sequence[Missing]:
    """Return the certificates that this recovery's events name and the database lacks."""
    rows = conn.execute(
        """SELECT DISTINCT serial, key FROM (
               SELECT convert_from(data, 'UTF8')::json ->> 'serial' AS serial, key FROM outbox
               WHERE recovery_id = %s AND type = ANY(%s)) AS announced
           WHERE NOT EXISTS (SELECT 1 FROM certificates AS c WHERE c.serial = announced.serial) ORDER BY key, serial""",
        (recovery_id, [CertificateIssued.TYPE, CertificateRevoked.TYPE]),
    ).fetchall()
    return [Missing(*row) for row in rows]


def raise_crl_number(conn: Conn) -> int:
    """Continue CRL numbers from one that no published CRL has reached, and drop a CRL that awaits its signature.

    Call it under the series' lock. The number of the dropped CRL is too low by now; the next CRL has its entries.
    """
    conn.execute(
        """WITH dropped AS (DELETE FROM crls WHERE der IS NULL RETURNING number),
                strays AS (UPDATE stray_certificates SET listed_in = NULL
                           WHERE revoked_at IS NOT NULL AND listed_in IN (SELECT number FROM dropped))
           UPDATE certificates SET listed_in = NULL
           WHERE revoked_at IS NOT NULL AND listed_in IN (SELECT number FROM dropped)"""
    )
    row = conn.execute(
        "UPDATE crl_series SET last_number = last_number + %s WHERE id = 1 RETURNING last_number", (CRL_STEP,)
    ).fetchone()
    assert row is not None
    return int(row[0])
