"""After a database was restored: the events it has forgotten come back from Kafka, before it writes new ones.

A restored writer would count again from where it stood, and give numbers and positions away a second time; readers hold
such an event as a conflict. What the forgotten events were about stays forgotten: the command names their renewals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from psycopg.errors import UniqueViolation

from shared import audit, outbox
from shared.db import Conn, Pool
from shared.errors import Undecodable
from shared.parking import Record
from shared.tx import transaction


@dataclass(kw_only=True)
class Recalled:
    """What came of it: how many were known and brought back, the renewals concerned, and what does not fit."""

    known: int = 0
    returned: int = 0
    renewals: set[str] = field(default_factory=set)
    conflicts: list[str] = field(default_factory=list)
    unreadable: int = 0


def take_back(pool: Pool, records: Iterable[Sequence[Record]], *, actor: str) -> Recalled:
    """Put every event of these batches of records that the outbox lacks into it, as sent."""
    found = Recalled()
    for batch in records:
        with transaction(pool) as tx:
            for record in batch:
                _take(tx.conn, record, found)
    with transaction(pool) as tx:
        _count_on(tx.conn)
        details = {"known": found.known, "returned": found.returned, "conflicts": len(found.conflicts)}
        audit.record(tx, actor=actor, action="events-recalled", subject="outbox", details=details)
    return found


def _take(conn: Conn, record: Record, found: Recalled) -> None:
    try:
        envelope = record.envelope()
    except Undecodable:
        found.unreadable += 1
        return
    try:
        with conn.transaction():
            returned = outbox.take_back(conn, envelope)
    except UniqueViolation:
        found.conflicts.append(f"{envelope.topic} {envelope.subject} {envelope.sequence}")
        return
    found.known += not returned
    found.returned += returned
    if returned:
        found.renewals.add(envelope.subject)


def _count_on(conn: Conn) -> None:
    """The next numbers and positions follow the last ones that anybody has seen."""
    conn.execute(
        """INSERT INTO outbox_sequences (topic, key, last_sequence)
           SELECT topic, key, max(sequence) FROM outbox GROUP BY topic, key
           ON CONFLICT (topic, key) DO UPDATE
           SET last_sequence = GREATEST(outbox_sequences.last_sequence, excluded.last_sequence)"""
    )
    conn.execute(
        """UPDATE feeds AS f SET last_position = GREATEST(f.last_position, o.last)
           FROM (SELECT topic, max(position) AS last FROM outbox GROUP BY topic) AS o WHERE o.topic = f.topic"""
    )
