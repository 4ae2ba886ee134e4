"""Application of events to a service's state, for the consumer and for redrives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

import psycopg
import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from shared import audit
from shared.db import UNAVAILABLE, Conn
from shared.errors import Ignored, Refused, Unavailable, Undecodable
from shared.events.base import Envelope
from shared.events.registry import ALL
from shared.messaging import held_events, inbox
from shared.messaging.codec import decode_data, readable_sequence
from shared.messaging.held_events import Held, HeldEvent
from shared.messaging.inbox import Place, Verdict
from shared.messaging.record import Record
from shared.messaging.subscriptions import Subscription
from shared.observability import tracing
from shared.tx import Clock, NewId, Tx

log = structlog.get_logger()

MAX_ATTEMPTS: Final = 3
MANY_KEYS: Final = 5
# Delay before an event that failed alone is retried.
FIRST_RETRY_DELAY: Final = timedelta(seconds=1)

APPLIED = Counter("inbox_applied_total", "Events applied", ["type"])
SEEN = Counter("inbox_seen_total", "Duplicate events skipped", ["topic"])
IGNORED = Counter("inbox_ignored_total", "Events ignored in the present state", ["type"])
DELIVERY = Histogram(
    "event_delivery_seconds",
    "Time from an event's announcement to its applied transaction",
    ["type"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 14400),
)
HELD = Counter("inbox_held_total", "Events held", ["topic", "reason"])


class ManyKeysFailing(Unavailable):
    """Too many keys fail at once for the events to be at fault: pause, and hold nothing."""

    reason = "many-keys-failing"


class Outcome(Enum):
    """Outcomes of a record."""

    DONE = auto()
    HELD = auto()
    FAILED = auto()


@dataclass(frozen=True, kw_only=True)
class _Failure:
    kind: Outcome
    reason: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Applier:
    """Dependencies for applying events; the caller owns the transaction."""

    consumer: str
    handlers: Mapping[str, Subscription]
    clock: Clock
    new_id: NewId
    code_version: str
    _applied: list[Envelope] = field(default_factory=list, init=False, repr=False, compare=False)

    def tell(self) -> None:
        """Log the applied events. Call it after the commit: events of a rolled-back batch are redelivered."""
        for envelope in self._applied:
            log.info(
                "event.applied",
                topic=envelope.topic,
                type=envelope.type,
                subject=envelope.subject,
                sequence=envelope.sequence,
                event_id=str(envelope.id),
            )
        self._applied.clear()

    def batch(self, conn: Conn, records: Sequence[Record]) -> None:
        """Apply records in key order, each in a savepoint. Raises one of UNAVAILABLE; the caller then rolls back."""
        self._applied.clear()
        failing: set[bytes | None] = set()
        for record in sorted(records, key=lambda record: record.sort_key):
            if self.record(conn, record) is Outcome.FAILED:
                failing.add(record.key)
                if len(failing) > MANY_KEYS:
                    raise ManyKeysFailing(f"{len(failing)} keys in one batch")

    def record(self, conn: Conn, record: Record) -> Outcome:
        """Apply one record, or hold it."""
        now = self.clock()
        try:
            envelope = record.envelope()
        except Undecodable as error:
            return self._hold_unreadable(conn, record, error, now)
        place = Place.of(self.consumer, envelope)
        match verdict := inbox.judge(conn, place, envelope.sequence, envelope.id):
            case Verdict.SEEN | Verdict.ALREADY_HELD:
                SEEN.labels(envelope.topic).inc()
                return Outcome.DONE
            case Verdict.WAIT:
                self._hold(conn, envelope, record, held_events.GAP, "an earlier event is missing", now)
                return Outcome.HELD
            case Verdict.CONFLICT:
                log.error("inbox.conflict", topic=place.topic, key=place.key, sequence=envelope.sequence)
                held_events.contest(conn, place, envelope.sequence)
                self._hold(conn, envelope, record, inbox.CONFLICT, "another event has this number", now)
                return Outcome.HELD
            case Verdict.APPLY | Verdict.APPLY_AND_DRAIN:
                outcome = self._apply(conn, place, envelope, now)
                if outcome is not None:
                    self._hold(conn, envelope, record, outcome.reason, outcome.error, now)
                    return outcome.kind
                if verdict is Verdict.APPLY_AND_DRAIN:
                    self.drain(conn, place, envelope.sequence)
                return Outcome.DONE

    def wait(self, conn: Conn, record: Record, error: Exception) -> None:
        """Hold an event that failed alone for a temporary reason, until its retry; handle other failures as usual."""
        try:
            envelope, now = record.envelope(), self.clock()
        except Undecodable:
            self.record(conn, record)
            return
        place = Place.of(self.consumer, envelope)
        if inbox.judge(conn, place, envelope.sequence, envelope.id) not in (Verdict.APPLY, Verdict.APPLY_AND_DRAIN):
            self.record(conn, record)
            return
        why = f"{type(error).__name__}: {error}"
        self._hold(conn, envelope, record, held_events.WAITING, why, now, retry_at=now + FIRST_RETRY_DELAY)

    def drain(self, conn: Conn, place: Place, sequence: int) -> int:
        """Apply the events held behind `sequence` in order, until one is missing or fails.

        Returns the last sequence applied.
        """
        while (held_event := held_events.find_next(conn, place, sequence + 1)) is not None:
            if not held_event.redrivable or not self.redrive(conn, held_event):
                break
            sequence += 1
        inbox.renew_hold(conn, place, self.clock())
        return sequence

    def redrive(self, conn: Conn, held_event: HeldEvent) -> bool:
        """Apply one held event that is next in sequence. Returns whether it was applied."""
        now = self.clock()
        try:
            envelope = held_event.record.envelope()
        except Undecodable as error:
            held_events.give_reason(conn, held_event.id, error.reason, str(error))
            return False
        failure = self._apply(conn, held_event.place, envelope, now)
        if failure is not None:
            held_events.give_reason(conn, held_event.id, failure.reason, failure.error)
            return False
        held_events.remove(conn, held_event.id)
        return True

    def _apply(self, conn: Conn, place: Place, envelope: Envelope, now: datetime) -> _Failure | None:
        event_type = ALL.get(envelope.type)
        if event_type is None:
            return _Failure(kind=Outcome.HELD, reason="unknown-type", error=envelope.type)
        if event_type.TOPIC is not envelope.topic:
            # The writer of a topic may announce only its own events.
            return _Failure(kind=Outcome.HELD, reason="wrong-topic", error=f"{envelope.type} on {envelope.topic}")
        subscription = self.handlers.get(envelope.type)
        failure = None if subscription is None else self._traced(conn, subscription, envelope, now)
        if failure is None:
            inbox.advance(conn, place, envelope.sequence, envelope.id)
            APPLIED.labels(envelope.type).inc()
            if subscription is not None:
                self._applied.append(envelope)
                DELIVERY.labels(envelope.type).observe(max(0.0, (self.clock() - envelope.time).total_seconds()))
        return failure

    def _traced(self, conn: Conn, subscription: Subscription, envelope: Envelope, now: datetime) -> _Failure | None:
        """Apply the event in a span under the one that announced it; events that it announces continue from there."""
        about = {"messaging.message.id": str(envelope.id), "ecert.renewal_id": envelope.subject}
        with tracing.span(
            f"process {envelope.type}", parent=envelope.traceparent, attributes=about, kind=SpanKind.CONSUMER
        ) as traceparent:
            tx = Tx(
                conn=conn,
                now=now,
                new_id=self.new_id,
                causation_id=str(envelope.id),
                traceparent=traceparent,
                event=envelope,
            )
            return self._try(tx, subscription, envelope)

    def _try(self, tx: Tx, subscription: Subscription, envelope: Envelope) -> _Failure | None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                event = decode_data(envelope.data, subscription.event_type)
                if str(event.subject) != envelope.subject:
                    raise Undecodable("data and subject differ")
                with tx.conn.transaction():
                    subscription.handle(tx, event)
                return None
            except psycopg.errors.ProgramLimitExceeded as error:
                # psycopg counts it among the operational errors, but a retry does not make the event smaller.
                return _Failure(kind=Outcome.HELD, reason="too-large", error=str(error))
            except UNAVAILABLE:
                raise
            except Ignored as ignored:
                self._note_ignored(tx, envelope, str(ignored))
                return None
            except Refused as refused:
                return _Failure(kind=Outcome.HELD, reason=refused.reason, error=str(refused))
            except Exception as error:  # any other failure may be the event's fault: three attempts, then hold it
                log.warning("inbox.failed", type=envelope.type, attempt=attempt, exc_info=True)
                failure = _Failure(kind=Outcome.FAILED, reason="failed", error=f"{type(error).__name__}: {error}")
        return failure

    def _note_ignored(self, tx: Tx, envelope: Envelope, why: str) -> None:
        IGNORED.labels(envelope.type).inc()
        audit.record(
            tx,
            actor=self.consumer,
            action="event-ignored",
            subject=envelope.subject,
            details={"type": envelope.type, "id": str(envelope.id), "why": held_events.storable(why)},
        )

    def _hold_unreadable(self, conn: Conn, record: Record, error: Undecodable, now: datetime) -> Outcome:
        place = Place(consumer=self.consumer, topic=record.topic, key=held_events.key_of(record.key))
        sequence = readable_sequence(record.headers)
        if sequence is not None:
            last = inbox.lock(conn, place)[0]
            if sequence <= last or held_events.has_number(conn, place, sequence):
                sequence = None  # it repeats the number of another event, so it must not block the key
        reason = held_events.NO_SEQUENCE if sequence is None else error.reason
        held = Held(place=place, sequence=sequence, event_id=None, reason=reason, error=str(error))
        self._store_held(conn, held, record, now)
        return Outcome.HELD

    def _hold(
        self,
        conn: Conn,
        envelope: Envelope,
        record: Record,
        reason: str,
        error: str,
        now: datetime,
        retry_at: datetime | None = None,
    ) -> None:
        held = Held(
            place=Place.of(self.consumer, envelope),
            sequence=envelope.sequence,
            event_id=envelope.id,
            reason=reason,
            error=error,
            retry_at=retry_at,
        )
        self._store_held(conn, held, record, now)

    def _store_held(self, conn: Conn, held: Held, record: Record, now: datetime) -> None:
        """Store the held event, unless the same event is held already."""
        if not held_events.hold(conn, held, record, now=now, code_version=self.code_version):
            return
        if held.sequence is not None:
            inbox.renew_hold(conn, held.place, now)
        HELD.labels(record.topic, held.reason).inc()
        log.error("inbox.held", topic=held.place.topic, key=held.place.key, sequence=held.sequence, reason=held.reason)
