"""SQL of stray certificates: signed by our key and no order's; takes a connection and never commits."""

from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from services.issuance.ca.crl import RevocationReason
from services.issuance.domain import StrayCertificate
from shared.db import Conn

_STRAY: Final = (
    "serial, der, sha256, spki_sha256, not_before, not_after, origin, added_at, revoked_at, revocation_reason"
)


def add_stray(conn: Conn, stray: StrayCertificate) -> bool:
    """Store a stray certificate. Returns False if its serial number is stored."""
    changed = conn.execute(
        f"""INSERT INTO stray_certificates ({_STRAY})
            VALUES (%(serial)s, %(der)s, %(sha256)s, %(spki_sha256)s, %(not_before)s, %(not_after)s, %(origin)s,
                    %(added_at)s, %(revoked_at)s, %(revocation_reason)s)
            ON CONFLICT (serial) DO NOTHING""",
        vars(stray),
    )
    return changed.rowcount == 1


def lock_stray(conn: Conn, serial: str) -> StrayCertificate | None:
    """Return a stray certificate by serial, locked."""
    with conn.cursor(row_factory=class_row(StrayCertificate)) as cursor:
        return cursor.execute(
            f"SELECT {_STRAY} FROM stray_certificates WHERE serial = %s FOR UPDATE", (serial,)
        ).fetchone()


def find_strays_of_key(conn: Conn, spki_sha256: bytes, now: datetime) -> list[str]:
    """Return the serial numbers of the strays with this key that a CRL can list, in order."""
    rows = conn.execute(
        """SELECT serial FROM stray_certificates
           WHERE spki_sha256 = %s AND (revoked_at IS NOT NULL OR not_after >= %s) ORDER BY serial""",
        (spki_sha256, now),
    ).fetchall()
    return [str(row[0]) for row in rows]


def save_stray_revoked(conn: Conn, serial: str, reason: RevocationReason, revoked_at: datetime) -> None:
    """Record a revocation, or a graver reason; the next CRL lists it."""
    conn.execute(
        "UPDATE stray_certificates SET revoked_at = %s, revocation_reason = %s, listed_in = NULL WHERE serial = %s",
        (revoked_at, reason.value, serial),
    )


def save_signature(conn: Conn, stray: StrayCertificate) -> None:
    """Store the precertificate of an ended intent with its signature, in place of the one with none."""
    conn.execute(
        "UPDATE stray_certificates SET der = %s, sha256 = %s WHERE serial = %s AND origin = 'intent-ended'",
        (stray.der, stray.sha256, stray.serial),
    )


def drop_ended(conn: Conn, serial: str) -> None:
    """Delete the precertificate of an intent that has a certificate after all, unless a CRL has listed it."""
    conn.execute(
        "DELETE FROM stray_certificates WHERE serial = %s AND origin = 'intent-ended' AND listed_in IS NULL", (serial,)
    )
