"""SQL of the feed: pages by position, and its head."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import Gauge

from shared.db import Conn
from shared.events.base import Envelope, Topic
from shared.messaging.outbox import ENVELOPE, envelope_of

FEED: Final = Topic.ISSUANCE
UNSTAMPED: Final = Gauge("feed_oldest_unstamped_seconds", "Age of the oldest event without a position, 0 if none")
UNSTAMPED_QUERY: Final = """SELECT COALESCE(EXTRACT(EPOCH FROM %(now)s - min(time)), 0)::float FROM outbox
    WHERE topic = 'issuance.events' AND position IS NULL"""


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The head of the feed: its last position, 0 if there is none, and that event's time."""

    position: int
    time: datetime | None


def newest(conn: Conn) -> Newest:
    """Return the head. All positions up to it exist: it is advanced in the transaction that stamps the events."""
    row = conn.execute(
        """SELECT f.last_position, e.time FROM feeds AS f
           LEFT JOIN feed_events AS e ON e.topic = f.topic AND e.position = f.last_position WHERE f.topic = %s""",
        (FEED,),
    ).fetchone()
    if row is None:
        raise RuntimeError(f"no migration has made {FEED} a feed")
    return Newest(position=row[0], time=row[1])


def page(conn: Conn, *, after: int, limit: int, max_bytes: int) -> list[Envelope]:
    """Return the events after a position, in order; only the last of them may exceed `max_bytes` of data in all."""
    rows = conn.execute(
        f"""SELECT {ENVELOPE} FROM (
                SELECT *, sum(octet_length(data)) OVER (ORDER BY position) - octet_length(data) AS bytes_before
                FROM (SELECT * FROM feed_events WHERE topic = %s AND position > %s ORDER BY position LIMIT %s) AS next
            ) AS measured
            WHERE bytes_before < %s ORDER BY position""",
        (FEED, after, limit, max_bytes),
    ).fetchall()
    return [envelope_of(row) for row in rows]
