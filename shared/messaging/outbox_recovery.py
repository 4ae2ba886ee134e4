"""Outbox recovery after a point-in-time restore: re-insert events that Kafka already has and advance the sequence
counters before the relay starts.

A restored writer would continue from its old counters, and use numbers and positions a second time; readers hold such
an event as a conflict. The state behind the lost events is restored as far as the service can rebuild it from them
(`then`, before the recovery ends); `forgotten` names their renewals.

A recovery works in batches. Each batch is one transaction that re-inserts events *and* advances their counters, so an
interrupted recovery leaves nothing half-done; the next run resumes it and skips what exists. Until a run has reached
the end of the topics, no process of the service starts (`require_ended`): missing events have numbers, too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from psycopg.errors import CheckViolation, UniqueViolation

from shared import audit
from shared.db import Conn, Pool
from shared.errors import Unavailable, Undecodable
from shared.events.base import Envelope
from shared.messaging import outbox
from shared.messaging.record import Record
from shared.tx import transaction

_FETCH_ROWS: Final = 1000


class RecoveryUnfinished(Unavailable):
    """An outbox recovery has started and not ended; new events would use numbers that exist in Kafka."""

    reason = "recovery-unfinished"


@dataclass(kw_only=True)
class RecoveryReport:
    """The outcome of one run: the numbers of known and re-inserted events, and conflicts."""

    recovery_id: int
    known: int = 0
    returned: int = 0
    conflicts: list[str] = field(default_factory=list)
    unreadable: int = 0
    not_put_back: list[str] = field(default_factory=list)


def reinsert(
    pool: Pool,
    batches: Iterable[Sequence[Record]],
    *,
    actor: str,
    then: Callable[[Pool, int, str], Sequence[str]] | None = None,
) -> RecoveryReport:
    """Re-insert every event of these batches that the outbox lacks, marked as sent.

    `then` restores the state behind them, given the recovery's number and the actor, before the recovery ends; it
    returns what could not be restored.
    """
    found = RecoveryReport(recovery_id=_begin(pool, actor))
    for batch in batches:
        with transaction(pool) as tx:
            _take(tx.conn, batch, found)
    if then is not None:
        found.not_put_back.extend(then(pool, found.recovery_id, actor))
    with transaction(pool) as tx:
        tx.conn.execute(
            "UPDATE outbox_recoveries SET ended_at = %s WHERE id = %s AND ended_at IS NULL", (tx.now, found.recovery_id)
        )
        details = {"known": found.known, "returned": found.returned, "conflicts": len(found.conflicts)}
        audit.record(tx, actor=actor, action="events-recalled", subject="outbox", details=details)
    return found


def forgotten(conn: Conn, recovery_id: int) -> Iterator[str]:
    """Yield the keys of all events that the runs of this recovery re-inserted, each once, in order."""
    with conn.cursor(name="forgotten") as cursor:
        cursor.itersize = _FETCH_ROWS
        cursor.execute("SELECT DISTINCT key FROM outbox WHERE recovery_id = %s ORDER BY key", (recovery_id,))
        for (key,) in cursor:
            yield str(key)


def find_page(conn: Conn, recovery_id: int, *, after: str, limit: int) -> list[list[Envelope]]:
    """Return the events of this recovery for the next keys after `after`, those of each key in their order."""
    rows = conn.execute(
        f"""SELECT {outbox.ENVELOPE} FROM outbox WHERE recovery_id = %(recovery)s AND key IN (
                SELECT DISTINCT key FROM outbox WHERE recovery_id = %(recovery)s AND key > %(after)s
                ORDER BY key LIMIT %(limit)s)
            ORDER BY key, topic, sequence""",
        {"recovery": recovery_id, "after": after, "limit": limit},
    ).fetchall()
    return [[*of_key] for _, of_key in groupby(map(outbox.envelope_of, rows), key=lambda each: each.subject)]


def require_ended(pool: Pool) -> None:
    """Raise RecoveryUnfinished while a recovery is open."""
    with pool.connection() as conn:
        row = conn.execute("SELECT began_at FROM outbox_recoveries WHERE ended_at IS NULL").fetchone()
    if row is not None:
        raise RecoveryUnfinished(f"the outbox recovery of {row[0].isoformat()} has not ended: run `recall` again")


def _begin(pool: Pool, actor: str) -> int:
    """Return the number of the open recovery, or of a new one."""
    with transaction(pool) as tx:
        tx.conn.execute(
            "INSERT INTO outbox_recoveries (actor, began_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (actor, tx.now)
        )
        row = tx.conn.execute("SELECT id FROM outbox_recoveries WHERE ended_at IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def _take(conn: Conn, batch: Sequence[Record], found: RecoveryReport) -> None:
    envelopes = list(_readable(batch, found))
    try:
        with conn.transaction():
            returned = outbox.reinsert(conn, envelopes, recovery_id=found.recovery_id)
    except (UniqueViolation, CheckViolation):
        returned = sum(_take_one(conn, envelope, found) for envelope in envelopes)
    else:
        found.known += len(envelopes) - returned
    found.returned += returned
    _raise_counters(conn, envelopes)


def _readable(batch: Sequence[Record], found: RecoveryReport) -> Iterator[Envelope]:
    for record in batch:
        try:
            yield record.envelope()
        except Undecodable:
            found.unreadable += 1


def _take_one(conn: Conn, envelope: Envelope, found: RecoveryReport) -> int:
    """Re-insert one event. Returns 1 if the outbox lacked it, else 0."""
    try:
        with conn.transaction():
            returned = outbox.reinsert(conn, [envelope], recovery_id=found.recovery_id)
    except UniqueViolation:
        found.conflicts.append(f"{envelope.topic} {envelope.subject} {envelope.sequence}")
        return 0
    except CheckViolation:  # a position without a signature
        found.unreadable += 1
        return 0
    found.known += not returned
    return returned


def _raise_counters(conn: Conn, envelopes: Sequence[Envelope]) -> None:
    """Set the next numbers and positions after the last ones of these events, known or not."""
    last: dict[tuple[str, str], int] = {}
    positions: dict[str, int] = {}
    for each in envelopes:
        last[each.topic, each.subject] = max(each.sequence, last.get((each.topic, each.subject), 0))
        positions[each.topic] = max(each.position or 0, positions.get(each.topic, 0))
    with conn.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO outbox_sequences (topic, key, last_sequence) VALUES (%s, %s, %s)
               ON CONFLICT (topic, key) DO UPDATE SET last_sequence = excluded.last_sequence
               WHERE outbox_sequences.last_sequence < excluded.last_sequence""",
            [(topic, key, sequence) for (topic, key), sequence in sorted(last.items())],
        )
        cursor.executemany(
            "UPDATE feeds SET last_position = %(last)s WHERE topic = %(topic)s AND last_position < %(last)s",
            [{"topic": topic, "last": position} for topic, position in positions.items()],
        )
