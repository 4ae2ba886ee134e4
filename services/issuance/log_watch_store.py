"""SQL of watched logs and of what they showed; takes a connection and never commits."""

from datetime import datetime
from hashlib import sha256
from typing import Final

from services.issuance.ct.merkle import Frontier
from shared.db import Conn

# Until it is adopted, or, if its serial number belongs to another certificate, until that is revoked.
UNKNOWN: Final = """SELECT count(*)::float FROM unknown_certificates AS u
                    WHERE NOT EXISTS (SELECT 1 FROM stray_certificates AS s WHERE s.serial = u.serial)
                      AND NOT EXISTS (SELECT 1 FROM certificates AS c
                                      WHERE c.serial = u.serial AND c.revoked_at IS NOT NULL)"""
FAULTS: Final = "SELECT description, 1::float FROM watched_logs WHERE fault IS NOT NULL"
AGE: Final = """SELECT EXTRACT(EPOCH FROM %(now)s - min(checked_at))::float FROM watched_logs
                HAVING count(*) > 0"""


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
