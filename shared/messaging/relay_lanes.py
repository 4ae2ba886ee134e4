"""Lanes of the outbox: choose the unsent rows to send next, with a fair share for each partition.

A lane is a topic and a partition's number (modulo LANES, see the migration `outbox_lanes`). A lane whose sends fail
pauses, and is then tried with one row, so a partition or topic that cannot be written does not delay the others.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from shared.db import Conn
from shared.events.base import Envelope, Topic
from shared.messaging.outbox import ENVELOPE, envelope_of

LANES: Final = 12
# A lane gets at most this fraction of a batch.
_SHARES: Final = 4
RETRY_SECONDS: Final = 1.0

# Topic and number.
Lane = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Row:
    """An unsent row of the outbox."""

    id: int
    lane: Lane
    envelope: Envelope

    @property
    def key(self) -> tuple[str, str]:
        """The key within which the order of rows matters."""
        return (self.envelope.topic, self.envelope.subject)


@dataclass
class Lanes:
    """Failing lanes, with the time of their next attempt."""

    monotonic: Callable[[], float] = time.monotonic
    _failing: dict[Lane, float] = field(default_factory=dict)

    def failed(self, lane: Lane) -> bool:
        """Pause the lane. Returns whether it worked before."""
        is_new = lane not in self._failing
        self._failing[lane] = self.monotonic() + RETRY_SECONDS
        return is_new

    def worked(self, lane: Lane) -> None:
        """Give the lane its full share again."""
        self._failing.pop(lane, None)

    def shares(self, limit: int, *, without: Collection[Lane]) -> dict[Lane, int]:
        """Return the number of rows that each lane may send; none for pausing lanes and those in `without`."""
        now = self.monotonic()
        every = [(topic.value, number) for topic in Topic for number in range(LANES)]
        free = [lane for lane in every if lane not in without and self._failing.get(lane, now) <= now]
        return {lane: 1 if lane in self._failing else max(1, limit // _SHARES) for lane in free}


# Excludes unstamped events of a feed, and blocked keys.
_SENDABLE: Final = """
    o.sent_at IS NULL
    AND (o.position IS NOT NULL OR o.topic NOT IN (SELECT f.topic FROM feeds AS f))
    AND NOT EXISTS (SELECT 1 FROM outbox AS b
                    WHERE b.topic = o.topic AND b.key = o.key AND b.unsendable_reason IS NOT NULL)"""


def unsent(conn: Conn, shares: dict[Lane, int], limit: int) -> list[Row]:
    """Return rows that may be sent, oldest first.

    An event of a topic that this release does not know waits for a release that does.
    """
    rows = conn.execute(
        f"""WITH picked AS (
              SELECT r.id AS picked_id, l.lane
              FROM unnest(%s::text[], %s::integer[], %s::integer[]) AS l (topic, lane, share)
              CROSS JOIN LATERAL (
                SELECT o.id FROM outbox AS o
                WHERE o.topic = l.topic AND kafka_lane(o.key) = l.lane AND {_SENDABLE}
                ORDER BY o.id LIMIT l.share) AS r
              ORDER BY r.id LIMIT %s)
            SELECT id, lane, {ENVELOPE} FROM picked JOIN outbox ON id = picked_id ORDER BY id""",
        ([topic for topic, _ in shares], [number for _, number in shares], [*shares.values()], limit),
    ).fetchall()
    return [Row(id=row[0], lane=(row[3], row[1]), envelope=envelope_of(row[2:])) for row in rows]
