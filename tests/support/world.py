"""Common part of the services' worlds in tests: a database, a clock, events that come in and events announced."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.db import Pool
from shared.events.base import Event
from shared.events.registry import ALL
from shared.messaging import codec
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.tx import Tx, transaction
from tests.support.builders import NOW, Publisher


@dataclass(kw_only=True)
class BaseWorld:
    """One service on a real database, with a clock that the test sets."""

    pool: Pool
    now: datetime = NOW
    publisher: Publisher = field(default_factory=Publisher)
    # Every record that was applied, in order: what a consumer reads again after a restore.
    delivered: list[Record] = field(default_factory=list)

    def clock(self) -> datetime:
        """Return the time of this test."""
        return self.now

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """Yield a transaction at the time of this test."""
        with transaction(self.pool, clock=self.clock) as tx:
            yield tx

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.pool.connection() as conn:
            return conn.execute(query.encode(), values).fetchall()

    def applier(self) -> Applier:
        """Return the applier of the service's consumer."""
        raise NotImplementedError

    def record(self, event: Event) -> Record:
        """Return the event's next record, as its publisher's relay would send it."""
        return self.publisher.record(event, now=self.now)

    def apply(self, *events: Event) -> list[Record]:
        """Publish events and apply their records in one batch. Returns the records."""
        records = [self.record(event) for event in events]
        self.apply_records(*records)
        return records

    def apply_records(self, *records: Record) -> None:
        """Apply records in one batch, as the consumer does after a poll."""
        self.delivered.extend(records)
        with self.pool.connection() as conn, conn.transaction():
            self.applier().batch(conn, records)

    def announced(self, renewal_id: uuid.UUID, kind: type[Event] | None = None) -> list[Any]:
        """Return the events announced for a renewal, oldest first; only those of one type if `kind` is given."""
        rows = self.rows("SELECT type, data FROM outbox WHERE key = %s ORDER BY id", str(renewal_id))
        events = [codec.decode_data(bytes(data), ALL[type_]) for type_, data in rows]
        return [event for event in events if kind is None or isinstance(event, kind)]

    def announced_types(self, renewal_id: uuid.UUID) -> list[str]:
        """Return the types of a renewal's announced events, as `csr-received`, without those of sealed PINs."""
        rows = self.rows(
            "SELECT type FROM outbox WHERE key = %s AND topic <> 'issuance.pin-envelopes' ORDER BY id", str(renewal_id)
        )
        return [type_.split(".")[-2] for (type_,) in rows]

    def held(self, renewal_id: uuid.UUID | None = None) -> list[str]:
        """Return why events are held: those of one renewal, or all."""
        of_one = "" if renewal_id is None else f"WHERE key = '{renewal_id}'"
        return [reason for (reason,) in self.rows(f"SELECT reason FROM parked_events {of_one} ORDER BY id")]

    def audited(self, subject: str) -> list[str]:
        """Return the audited actions on a subject, oldest first."""
        return [
            action for (action,) in self.rows("SELECT action FROM audit_log WHERE subject = %s ORDER BY id", subject)
        ]
