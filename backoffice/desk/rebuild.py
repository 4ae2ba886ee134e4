"""Projection rebuild: empties the projection and fills it from Kafka, in one transaction."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from backoffice.desk import store
from shared import audit
from shared.db import Conn, Pool
from shared.errors import Refused, Undecodable
from shared.messaging import held_events
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.messaging.inbox import Place
from shared.messaging.record import Record
from shared.operators import held_commands
from shared.operators.held_commands import NotNext
from shared.tx import Tx, transaction

Read = Callable[[], Iterable[Sequence[Record]]]
_Places = dict[tuple[str, str], int]
_NAMED: Final = 20


class EventsMissing(Refused):
    """Kafka no longer retains events that the projection contains; a rebuild would lose data. It is rolled back."""

    reason = "events-missing"


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The numbers of a rebuild, and the hash of the projection before and after it."""

    events: int
    renewals: int
    kept: int
    skipped: int
    before: str
    after: str


def state(conn: Conn) -> str:
    """Return a SHA-256 over all rows of the projection and the progress of each key; equal states have equal hashes."""
    found = hashlib.sha256()
    rows = [sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)) for table in store.PROJECTION]
    progress = sql.SQL("SELECT topic, key, last_sequence, last_event_id FROM inbox WHERE last_sequence > 0")
    for each in (*rows, progress):
        query = sql.SQL('SELECT to_jsonb(t)::text FROM ({}) AS t ORDER BY to_jsonb(t)::text COLLATE "C"').format(each)
        with conn.cursor("state") as cursor:
            for (row,) in cursor.execute(query):
                found.update(row.encode() + b"\n")
        found.update(b"\0")
    return found.hexdigest()


def rebuild(pool: Pool, applier: Applier, read: Read, *, actor: str) -> Rebuilt:
    """Rebuild every renewal whose first events the topics still hold; other renewals stay as they are.

    `read` yields all records of the topics, and is called twice. Until the commit readers see the old state, and the
    consumer waits. Events that were skipped are skipped again. Raises EventsMissing.
    """
    with transaction(pool, clock=applier.clock, new_id=applier.new_id) as tx:
        tx.conn.execute("LOCK TABLE inbox IN EXCLUSIVE MODE")
        before, places = state(tx.conn), _places(tx.conn, applier.consumer)
        whole = _whole(places, read())
        _empty(tx.conn, applier.consumer, whole)
        events = 0
        for batch in read():
            applier.batch(tx.conn, batch)
            events += len(batch)
        skipped = _skip_again(tx, applier, actor)
        _require_nothing_lost(places, _places(tx.conn, applier.consumer))
        found = Rebuilt(
            events=events,
            renewals=len(whole),
            kept=len({key for _, key in places} - set(whole)),
            skipped=skipped,
            before=before,
            after=state(tx.conn),
        )
        audit.record(tx, actor=actor, action="rebuilt", subject="desk", details=vars(found))
    return found


def _places(conn: Conn, consumer: str) -> _Places:
    """Return the last sequence number applied of each topic and key."""
    rows = conn.execute("SELECT topic, key, last_sequence FROM inbox WHERE consumer = %s", (consumer,)).fetchall()
    return {(topic, key): last for topic, key, last in rows}


def _whole(places: _Places, batches: Iterable[Sequence[Record]]) -> list[str]:
    """Return the renewals whose first events are all retained: topics delete from their beginning."""
    begun = set()
    for record in (record for batch in batches for record in batch):
        try:
            envelope = record.envelope()
        except Undecodable:
            continue
        if envelope.sequence == 1:
            begun.add((envelope.topic.value, envelope.subject))
    return sorted({key for _, key in begun} - {key for topic, key in places if (topic, key) not in begun})


_EMPTYING: Final = (
    "DELETE FROM item_names WHERE item_id IN (SELECT item_id FROM items WHERE renewal_id = ANY(%(whole)s::uuid[]))",
    *(
        f"DELETE FROM {each} WHERE renewal_id = ANY(%(whole)s::uuid[])"
        for each in store.PROJECTION
        if each != "item_names"
    ),
    "DELETE FROM parked_events WHERE consumer = %(consumer)s AND key = ANY(%(whole)s) AND sequence IS NOT NULL",
    "DELETE FROM inbox WHERE consumer = %(consumer)s AND key = ANY(%(whole)s)",
)


def _empty(conn: Conn, consumer: str, whole: list[str]) -> None:
    for statement in _EMPTYING:
        conn.execute(statement.encode(), {"consumer": consumer, "whole": whole})


# Held events that were skipped before: the same event at the same offset of its topic.
_LEFT_OUT_BEFORE: Final = """
    SELECT DISTINCT ON (p.topic, p.key, p.sequence, p.id) p.topic, p.key, p.id,
           a.details->>'event', a.details->>'reason'
    FROM parked_events AS p
    JOIN audit_log AS a ON a.action = 'event-skipped' AND a.subject = p.key AND a.details->>'topic' = p.topic
                           AND a.details->>'at' = p."partition" || '/' || p."offset"
    WHERE p.consumer = %s ORDER BY p.topic, p.key, p.sequence, p.id, a.id"""


def _skip_again(tx: Tx, applier: Applier, actor: str) -> int:
    """Skip again the events that were skipped with four-eyes approval. Returns their number.

    Only an event that is held again is skipped: a later release may be able to apply it.
    """
    count, went = 0, True
    while went:
        went = False
        for topic, key, parked_id, event, reason in tx.conn.execute(
            _LEFT_OUT_BEFORE.encode(), (applier.consumer,)
        ).fetchall():
            place = Place(consumer=applier.consumer, topic=topic, key=key)
            if (chosen := _still_held(tx.conn, place, parked_id, event)) is None:
                continue
            try:
                with tx.conn.transaction():
                    why = f"left out again: {reason}"
                    held_commands.skip(tx, applier, place, actor=actor, reason=why, event=chosen.name)
            except NotNext:
                continue  # an earlier event of its key is held
            count, went = count + 1, True
    return count


def _still_held(conn: Conn, place: Place, parked_id: int, event: str) -> HeldEvent | None:
    """Return the event if it is still held; None if it was applied, or if its offset now belongs to another event."""
    found = held_events.find_of_key(conn, place)
    return next((each for each in found if (each.id, str(each.event_id)) == (parked_id, event)), None)


def _require_nothing_lost(before: _Places, after: _Places) -> None:
    short = sorted({key for (topic, key), last in before.items() if after.get((topic, key), 0) < last})
    if short:
        named = ", ".join(short[:_NAMED])
        raise EventsMissing(f"the topics lack events of {len(short)} renewals in the projection:  {named}")
