"""SQL that changes the projection; never commits."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from shared.db import Conn
from shared.events.application import CertificateDelayed, RenewalSubmitted
from shared.events.base import Envelope
from shared.events.issuance import IssuanceDelayed, IssuanceRefused
from shared.events.mailing import PINEnvelopeReturned
from shared.security.proofs import Attested

# The tables that `rebuild` empties and that the projection's hash covers.
PROJECTION: Final = ("steps", "renewals", "recipients", "items", "item_names", "envelopes")


def add_step(
    conn: Conn, event: Envelope, item_id: uuid.UUID | None, facts: Mapping[str, Any], signed_by: str | None
) -> None:
    """Add a step to a timeline."""
    conn.execute(
        """INSERT INTO steps (renewal_id, topic, sequence, event_id, type, time, item_id, facts, position, signed_by)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            event.subject,
            event.topic,
            event.sequence,
            event.id,
            event.type,
            event.time,
            item_id,
            Jsonb(facts),
            event.position,
            signed_by,
        ),
    )


def save_submitted(conn: Conn, event: RenewalSubmitted, moment: datetime) -> None:
    """Record a submitted renewal."""
    conn.execute(
        """INSERT INTO renewals (renewal_id, reference, subscriber_id, amount_minor, currency, submitted_at)
           VALUES (%s, %s, %s, %s, %s, %s)
           ON CONFLICT (renewal_id) DO UPDATE SET reference = EXCLUDED.reference,
               subscriber_id = EXCLUDED.subscriber_id, amount_minor = EXCLUDED.amount_minor,
               currency = EXCLUDED.currency, submitted_at = EXCLUDED.submitted_at""",
        (event.renewal_id, event.reference, event.subscriber_id, event.amount_minor, event.currency, moment),
    )


def save_moment(conn: Conn, renewal_id: uuid.UUID, column: str, moment: datetime) -> None:
    """Record when something happened to a renewal."""
    name = sql.Identifier(column)
    conn.execute(
        sql.SQL(
            """INSERT INTO renewals (renewal_id, {0}) VALUES (%s, %s)
               ON CONFLICT (renewal_id) DO UPDATE SET {0} = EXCLUDED.{0}"""
        ).format(name),
        (renewal_id, moment),
    )


def save_ending(conn: Conn, renewal_id: uuid.UUID, ending: str) -> None:
    """Record why a renewal ended without a certificate."""
    conn.execute("UPDATE renewals SET ending = %s WHERE renewal_id = %s", (ending, renewal_id))


def save_attested(conn: Conn, renewal_id: uuid.UUID, proven: Attested, moment: datetime) -> None:
    """Record the attested applicant, recipient and document of a renewal."""
    conn.execute(
        """INSERT INTO renewals (renewal_id, subscriber) VALUES (%s, %s)
           ON CONFLICT (renewal_id) DO UPDATE SET subscriber = EXCLUDED.subscriber""",
        (renewal_id, proven.subscriber.name),
    )
    conn.execute(
        """INSERT INTO recipients (renewal_id, name, address) VALUES (%s, %s, %s)
           ON CONFLICT (renewal_id) DO UPDATE SET name = EXCLUDED.name, address = EXCLUDED.address""",
        (renewal_id, proven.ar.name, proven.ar.address),
    )
    for item in proven.document.items:
        save_item(
            conn,
            renewal_id,
            item_id=item.item_id,
            reference=item.reference,
            srn=item.srn,
            product=item.product,
            server_names=item.server_names,
            column="requested_at",
            moment=moment,
        )
    withdraw_items(conn, renewal_id)


def save_item(
    conn: Conn,
    renewal_id: uuid.UUID,
    *,
    item_id: uuid.UUID,
    reference: str,
    srn: str,
    product: str,
    server_names: Sequence[str],
    column: str,
    moment: datetime,
) -> None:
    """Record an item and one of its times. application and issuance both announce it, from the same signed document."""
    conn.execute(
        sql.SQL(
            """INSERT INTO items (item_id, renewal_id, reference, srn, product, server_names, {0})
               VALUES (%s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (item_id) DO UPDATE SET renewal_id = EXCLUDED.renewal_id, reference = EXCLUDED.reference,
                   srn = EXCLUDED.srn, product = EXCLUDED.product, server_names = EXCLUDED.server_names,
                   {0} = EXCLUDED.{0}"""
        ).format(sql.Identifier(column)),
        (item_id, renewal_id, reference, srn, product, list(server_names), moment),
    )
    conn.execute(
        """INSERT INTO item_names (item_id, name, reversed)
           SELECT %s, name, reverse(name) FROM unnest(%s::text[]) AS name ON CONFLICT DO NOTHING""",
        (item_id, list(server_names)),
    )


def change_item(conn: Conn, item_id: uuid.UUID, changes: Mapping[str, object]) -> None:
    """Update an item whose order issuance opened before; the order is an event of the same topic, so the row exists."""
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in changes)
    statement = sql.SQL("UPDATE items SET {} WHERE item_id = %s").format(assignments)
    if conn.execute(statement, (*changes.values(), item_id)).rowcount != 1:
        raise LookupError(f"no order was opened for item {item_id}")


def save_refused(conn: Conn, event: IssuanceRefused, moment: datetime) -> None:
    """Record an item's refusal; an item that could not be ordered at all may have no row yet."""
    conn.execute(
        """INSERT INTO items (item_id, renewal_id, refused_at, refusal) VALUES (%s, %s, %s, %s)
           ON CONFLICT (item_id) DO UPDATE SET refused_at = EXCLUDED.refused_at, refusal = EXCLUDED.refusal""",
        (event.item_id, event.renewal_id, moment, event.reason),
    )


def save_obstacles(conn: Conn, event: IssuanceDelayed) -> None:
    """Record what an item's certificate waits for, instead of what it waited for before."""
    change_item(conn, event.item_id, {"obstacles": Jsonb([*map(vars, event.obstacles)])})


def clear_obstacles(conn: Conn, item_id: uuid.UUID) -> None:
    """Record that an item's certificate waits for nothing."""
    change_item(conn, item_id, {"obstacles": Jsonb([])})


def save_waits_until(conn: Conn, event: CertificateDelayed) -> None:
    """Record until when an item's certificate is waited for; its order may be announced later, on another topic."""
    conn.execute(
        """INSERT INTO items (item_id, renewal_id, waits_until) VALUES (%s, %s, %s)
           ON CONFLICT (item_id) DO UPDATE SET waits_until = EXCLUDED.waits_until""",
        (event.item_id, event.renewal_id, event.until),
    )


def withdraw_items(conn: Conn, renewal_id: uuid.UUID) -> None:
    """End the waiting items of an ended renewal; called when an item or the renewal's end is new."""
    conn.execute(
        """UPDATE items AS i SET withdrawn_at = LEAST(r.cancelled_at, r.withheld_at)
           FROM renewals AS r WHERE r.renewal_id = i.renewal_id AND i.renewal_id = %s""",
        (renewal_id,),
    )


def save_envelope(
    conn: Conn,
    renewal_id: uuid.UUID,
    item_id: uuid.UUID,
    envelope_id: uuid.UUID,
    server_name: str,
    changes: Mapping[str, object],
) -> None:
    """Record the part of a PIN Envelope that one topic announces; mailing and issuance both announce envelopes."""
    columns = [sql.Identifier(column) for column in changes]
    conn.execute(
        sql.SQL(
            """INSERT INTO envelopes (envelope_id, renewal_id, item_id, server_name, {}) VALUES (%s, %s, %s, %s, {})
               ON CONFLICT (envelope_id) DO UPDATE SET {}"""
        ).format(
            sql.SQL(", ").join(columns),
            sql.SQL(", ").join(sql.Placeholder() for _ in columns),
            sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(column) for column in columns),
        ),
        (envelope_id, renewal_id, item_id, server_name, *changes.values()),
    )


def save_returned(conn: Conn, event: PINEnvelopeReturned) -> None:
    """Record a returned letter; an earlier event of the same topic announced that it was posted."""
    conn.execute(
        "UPDATE envelopes SET returned_on = %s, reason = %s WHERE envelope_id = %s",
        (event.returned_on, event.reason, event.envelope_id),
    )
