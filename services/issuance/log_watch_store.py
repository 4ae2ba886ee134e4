"""SQL of watched logs and of what they showed; takes a connection and never commits."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from services.issuance.ct.merkle import Frontier
from shared.db import Conn

# Until these bytes are adopted: another certificate with the serial number does not explain them.
UNKNOWN: Final = "SELECT count(*)::float FROM unknown_certificates WHERE known_at IS NULL"
FAULTS: Final = "SELECT description, 1::float FROM watched_logs WHERE watched AND fault IS NOT NULL"
AGE: Final = """SELECT EXTRACT(EPOCH FROM %(now)s - min(checked_at))::float FROM watched_logs WHERE watched
                HAVING count(*) > 0"""


def save_watched(conn: Conn, logs: Mapping[bytes, str], *, now: datetime) -> None:
    """Store which logs are watched, as log id → description; a new one counts as read now."""
    for log_id, description in logs.items():
        conn.execute(
            """INSERT INTO watched_logs (log_id, description, size, frontier, checked_at) VALUES (%s, %s, 0, '', %s)
               ON CONFLICT DO NOTHING""",
            (log_id, description, now),
        )
    conn.execute(
        "UPDATE watched_logs SET watched = log_id = ANY(%(ids)s) WHERE watched <> (log_id = ANY(%(ids)s))",
        {"ids": [*logs]},
    )


def find_frontier(conn: Conn, log_id: bytes) -> Frontier:
    """Return how far the log was read; an empty frontier for a new one."""
    row = conn.execute("SELECT size, frontier FROM watched_logs WHERE log_id = %s", (log_id,)).fetchone()
    return Frontier() if row is None else Frontier.decode(row[0], row[1])


def save_frontier(conn: Conn, log_id: bytes, description: str, frontier: Frontier, *, now: datetime) -> None:
    """Store how far the log was read, without a fault."""
    conn.execute(
        """INSERT INTO watched_logs (log_id, description, size, frontier, checked_at) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (log_id) DO UPDATE SET description = excluded.description, size = excluded.size,
               frontier = excluded.frontier, checked_at = excluded.checked_at, fault = NULL""",
        (log_id, description, frontier.size, frontier.encoded(), now),
    )


def save_fault(conn: Conn, log_id: bytes, description: str, fault: str, *, now: datetime) -> None:
    """Store what was wrong with the log, and leave how far it was read."""
    conn.execute(
        """INSERT INTO watched_logs (log_id, description, size, frontier, checked_at, fault)
           VALUES (%s, %s, 0, '', %s, %s)
           ON CONFLICT (log_id) DO UPDATE SET description = excluded.description, fault = excluded.fault""",
        (log_id, description, now, fault),
    )


def add_unknown(conn: Conn, serial: str, der: bytes, *, log: str, position: int, now: datetime) -> bool:
    """Store a certificate that the database does not have. Returns False if it was stored before."""
    changed = conn.execute(
        """INSERT INTO unknown_certificates (sha256, serial, der, log, position, seen_at)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (sha256) DO NOTHING""",
        (sha256(der).digest(), serial, der, log, position, now),
    )
    return changed.rowcount == 1


def find_unknown(conn: Conn, serial: str) -> list[bytes]:
    """Return what logs have with this serial number and nobody has adopted."""
    rows = conn.execute(
        "SELECT der FROM unknown_certificates WHERE serial = %s AND known_at IS NULL ORDER BY sha256", (serial,)
    ).fetchall()
    return [bytes(row[0]) for row in rows]


def save_known(conn: Conn, der: bytes, now: datetime) -> None:
    """Store that the database knows this certificate now."""
    conn.execute("UPDATE unknown_certificates SET known_at = %s WHERE sha256 = %s", (now, sha256(der).digest()))
