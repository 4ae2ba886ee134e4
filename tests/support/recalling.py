"""The outbox of a database before a restore, and its recovery after it."""

from collections.abc import Callable, Sequence

from shared.db import Pool
from shared.events.base import Envelope
from shared.messaging import codec, outbox, outbox_recovery
from shared.messaging.record import Record


def travelled(pool: Pool) -> list[Envelope]:
    """Return every event of an outbox, as Kafka keeps them."""
    with pool.connection() as conn:
        rows = conn.execute(f"SELECT {outbox.ENVELOPE} FROM outbox ORDER BY id").fetchall()
    return [outbox.envelope_of(row) for row in rows]


def bring_back(
    pool: Pool, envelopes: Sequence[Envelope], *, then: Callable[[Pool, int, str], Sequence[str]] | None = None
) -> outbox_recovery.RecoveryReport:
    """Recover the outbox, as the `recall` command does."""
    return outbox_recovery.reinsert(pool, [records_of(envelopes)], actor="test", then=then)


def records_of(envelopes: Sequence[Envelope]) -> list[Record]:
    """Return these events as Kafka has them."""
    return [
        Record(
            topic=each.topic,
            partition=0,
            offset=offset,
            key=each.key,
            headers=tuple(codec.to_headers(each)),
            value=each.data,
        )
        for offset, each in enumerate(envelopes)
    ]
