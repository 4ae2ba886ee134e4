"""SQL of the repository: certificates whose publication their AR has accepted, and what each of them says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from services.issuance.domain import Certificate
from shared.db import Conn

_LISTED: Final = (
    "c.serial, c.sha256, c.not_before, c.not_after, c.revoked_at, c.revocation_reason, o.server_names, r.organisation"
)
_ACCEPTED: Final = """FROM certificates AS c JOIN orders AS o ON o.item_id = c.item_id
                      JOIN renewals AS r ON r.renewal_id = c.renewal_id
                      WHERE c.accepted_at IS NOT NULL AND c.given_out"""
_PAGE: Final = """AND (%(after)s::text IS NULL OR (c.issued_at, c.serial) < (
                      SELECT issued_at, serial FROM certificates WHERE serial = %(after)s))
                  ORDER BY c.issued_at DESC, c.serial DESC LIMIT %(limit)s"""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A certificate as the repository lists it. `server_names` are those of the order, without base names."""

    serial: str
    sha256: bytes
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    revocation_reason: str | None
    server_names: list[str]
    organisation: str


def find_of_names(conn: Conn, names: Sequence[str], *, after: str | None, limit: int) -> list[Listed]:
    """Return a page of the certificates that were ordered for one of these names, newest first."""
    with conn.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(
            f"SELECT {_LISTED} {_ACCEPTED} AND o.server_names && %(names)s {_PAGE}",
            {"names": list(names), "after": after, "limit": limit},
        ).fetchall()


def find_of_srn(conn: Conn, srn: str, *, after: str | None, limit: int) -> list[Listed]:
    """Return a page of the certificates of a subscription, newest first."""
    with conn.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(
            f"SELECT {_LISTED} {_ACCEPTED} AND o.srn = %(srn)s {_PAGE}", {"srn": srn, "after": after, "limit": limit}
        ).fetchall()


def find_listed(conn: Conn, serial: str) -> list[Listed]:
    """Return the certificate with this serial number, if it is published."""
    with conn.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(f"SELECT {_LISTED} {_ACCEPTED} AND c.serial = %s", (serial,)).fetchall()


def is_published(certificate: Certificate) -> bool:
    """Return whether the repository has this certificate."""
    return certificate.accepted_at is not None and certificate.given_out
