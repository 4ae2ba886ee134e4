"""A service of one table, whose handler the tests steer: the plumbing is tested by itself."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from shared import db
from shared.db import Pool
from shared.events.payment import PaymentDeclined
from shared.messaging import codec
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.messaging.subscriptions import on
from shared.runtime.service import applier
from shared.tx import Tx
from shared.vocabulary import RenewalId
from tests.support.engines import Database

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
TOPIC = PaymentDeclined.TOPIC
# Two renewals may share a partition, but no two records a place in it.
_OFFSETS = itertools.count(1)


@pytest.fixture
def pool(database: Callable[[str], Database]) -> Iterator[Pool]:
    """A fresh database with the plumbing's tables and a place where the handler writes."""
    made = database("application")
    with db.open_pool(made.url, name="test", max_size=8) as opened:
        yield opened


@dataclass
class Handler:
    """Writes what it applies into the audit log, or fails as configured."""

    failures: dict[str, Exception] = field(default_factory=dict)
    calls: int = 0

    def __call__(self, tx: Tx, event: PaymentDeclined) -> None:
        self.calls += 1
        tx.conn.execute(
            "INSERT INTO audit_log (time, actor, action, subject, details) VALUES (%s, 'test', %s, %s, '{}')",
            (tx.now, event.reason, str(event.renewal_id)),
        )
        if (error := self.failures.get(event.reason)) is not None:
            raise error


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def apply(handler: Handler) -> Applier:
    return applier("application", (on(PaymentDeclined, handler),), clock=lambda: NOW)


@dataclass
class Writer:
    """Makes the records that a publisher's relay would have sent for one renewal."""

    renewal_id: RenewalId = field(default_factory=lambda: RenewalId(uuid.uuid4()))

    @property
    def key(self) -> str:
        return str(self.renewal_id)

    def record(self, sequence: int, *, offset: int | None = None, event_id: uuid.UUID | None = None) -> Record:
        """Return the record of event number `sequence`, whose reason is that number."""
        event = PaymentDeclined(renewal_id=self.renewal_id, payment_id=uuid.uuid4(), reason=str(sequence))
        identity = event_id or uuid.uuid5(self.renewal_id, str(sequence))
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(identity),
            "ce_source": "/payment",
            "ce_type": event.TYPE,
            "ce_subject": self.key,
            "ce_sequence": str(sequence),
            "ce_time": NOW.isoformat(),
            "ce_dataschema": codec.schema_name(event.TYPE),
        }
        return Record(
            topic=TOPIC,
            partition=abs(hash(self.key)) % 12,
            offset=next(_OFFSETS) if offset is None else offset,
            key=self.key.encode(),
            headers=tuple((name, value.encode()) for name, value in headers.items()),
            value=codec.encode_data(event),
        )


@pytest.fixture
def writer() -> Writer:
    return Writer()


Deliver = Callable[..., None]


@pytest.fixture
def deliver(pool: Pool, apply: Applier) -> Deliver:
    """Apply records in one transaction, as the consumer does."""

    def run(*records: Record) -> None:
        with pool.connection() as conn, conn.transaction():
            apply.batch(conn, records)

    return run


@pytest.fixture
def applied(pool: Pool) -> Callable[[Writer], list[str]]:
    """Rows that the handler has written for one renewal, in order."""

    def read(writer: Writer) -> list[str]:
        with pool.connection() as conn:
            rows = conn.execute(
                "SELECT action FROM audit_log WHERE actor = 'test' AND subject = %s ORDER BY id", (writer.key,)
            ).fetchall()
        return [row[0] for row in rows]

    return read
