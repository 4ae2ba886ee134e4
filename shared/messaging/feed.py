"""Feed: assigns positions and signatures to events, in one order, before they are sent.

Only the relay stamps, under its lock and in a transaction of its own. So positions are committed in order and without
gaps: a reader that sees 100 can see 99.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from shared.db import Conn
from shared.events.base import Envelope, Topic
from shared.messaging import feed_signature
from shared.messaging.outbox import ENVELOPE, envelope_of
from shared.security.tokens import KeySet, SigningKey
from shared.settings import SettingsError

STAMPED = Counter("feed_stamped_total", "Events stamped with position and signature", ["topic"])


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A topic that outsiders read by position, and the key that signs its events."""

    topic: Topic
    key: SigningKey

    @classmethod
    def load(cls, topic: Topic, *, key_file: Path, jwks_file: Path) -> "Feed":
        """Load the signing key.

        Raises SettingsError if it is not published: readers could not verify its signatures.
        """
        key = SigningKey.load(key_file)
        if key.kid not in KeySet.load(jwks_file).keys:
            raise SettingsError(f"{key_file}: this key is not published in {jwks_file}")
        return cls(topic=topic, key=key)


def stamp(conn: Conn, feed: Feed, limit: int) -> int:
    """Stamp unstamped events, oldest first. Returns their number. For the relay only, under its lock.

    The feed's row is locked first: a relay that has lost its lock with its connection stamps nothing twice.
    """
    if not _unstamped(conn, feed.topic, 1):
        return 0
    conn.execute("SELECT 1 FROM feeds WHERE topic = %s FOR UPDATE", (feed.topic,))
    rows = _unstamped(conn, feed.topic, limit)
    if rows:
        first = _take_positions(conn, feed.topic, len(rows))
        stamped = [_stamped(envelope_of(row[1:]), position, feed.key) for position, row in enumerate(rows, first)]
        _save(conn, [row[0] for row in rows], stamped)
        STAMPED.labels(feed.topic).inc(len(rows))
    return len(rows)


def _unstamped(conn: Conn, topic: Topic, limit: int) -> list[tuple[Any, ...]]:
    return conn.execute(
        f"""SELECT id, {ENVELOPE} FROM outbox WHERE position IS NULL AND topic = %s ORDER BY id LIMIT %s""",
        (topic, limit),
    ).fetchall()


def _take_positions(conn: Conn, topic: Topic, count: int) -> int:
    row = conn.execute(
        "UPDATE feeds SET last_position = last_position + %s WHERE topic = %s RETURNING last_position",
        (count, topic),
    ).fetchone()
    if row is None:
        raise RuntimeError(f"no migration has made {topic} a feed")
    return int(row[0]) - count + 1


def _stamped(envelope: Envelope, position: int, key: SigningKey) -> Envelope:
    placed = replace(envelope, position=position)
    return replace(placed, signature=feed_signature.sign(placed, key))


def _save(conn: Conn, ids: Sequence[Any], stamped: Sequence[Envelope]) -> None:
    conn.execute(
        """UPDATE outbox SET position = s.position, signature = s.signature
           FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS s (id, position, signature)
           WHERE outbox.id = s.id""",
        (ids, [each.position for each in stamped], [each.signature for each in stamped]),
    )
