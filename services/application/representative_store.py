"""SQL of changes of Authorised Representatives; takes a connection and never commits."""

from shared.db import Conn
from shared.vocabulary import ARId, SubscriberId


def move_subscriptions(
    conn: Conn, subscriber_id: SubscriberId, *, ar_id: ARId, successor_id: ARId, successor_name: str
) -> list[str]:
    """Make the successor the AR of record of every subscription of an AR, locked in SRN order. Returns their SRNs."""
    rows = conn.execute(
        """WITH owned AS (SELECT srn FROM subscriptions WHERE subscriber_id = %s AND ar_id = %s
                          ORDER BY srn FOR UPDATE)
           UPDATE subscriptions AS s SET ar_id = %s, ar_name = %s FROM owned WHERE s.srn = owned.srn
           RETURNING s.srn""",
        (subscriber_id, ar_id, successor_id, successor_name),
    ).fetchall()
    return sorted(row[0] for row in rows)
