"""SQL of register evidence and of proposals to renew it. Never commits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, LiteralString

from psycopg.rows import kwargs_row

from services.identity.domain import RegisterEvidence
from shared.db import Conn


class EvidenceKind(StrEnum):
    """Kinds of register evidence: of an organisation's data, or of an AR's authority."""

    ORGANISATION = "organisation"
    AUTHORITY = "authority"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A subscriber, or an AR in office, with their evidence; all None if it is unknown."""

    kind: EvidenceKind
    id: str
    name: str
    subscriber_id: str
    verified_at: datetime | None
    source: str | None
    checker: str | None


_TABLES: Final[dict[EvidenceKind, LiteralString]] = {
    EvidenceKind.ORGANISATION: "subscribers",
    EvidenceKind.AUTHORITY: "authorised_representatives",
}
_ALL: Final = """
    SELECT 'organisation' AS kind, id, name, id AS subscriber_id, verified_at, source, checker FROM subscribers
    UNION ALL
    SELECT 'authority', id, name, subscriber_id, verified_at, source, checker FROM authorised_representatives
    WHERE ended_at IS NULL"""
# Verified before the 353rd day from now: 45 days are left of 398. A rule for the gauge alone; the list asks for a time.
LAPSING: Final = """
    SELECT 'organisation', count(*) FROM subscribers
    WHERE verified_at IS NULL OR verified_at < %(now)s - INTERVAL '353 days'
    UNION ALL
    SELECT 'authority', count(*) FROM authorised_representatives
    WHERE ended_at IS NULL AND (verified_at IS NULL OR verified_at < %(now)s - INTERVAL '353 days')"""
# Each part reads an index: the register is far longer than what lapses.
_OLD_OR_PROPOSED: Final = """
    WITH proposed AS (SELECT content->>'kind' AS kind, subject FROM proposals
                      WHERE action = 'evidence' AND decision IS NULL)
    SELECT 'organisation' AS kind, id, name, id AS subscriber_id, verified_at, source, checker FROM subscribers
    WHERE verified_at IS NULL OR verified_at < %(before)s
    UNION
    SELECT 'organisation', id, name, id, verified_at, source, checker FROM subscribers
    WHERE id IN (SELECT subject FROM proposed WHERE kind = 'organisation')
    UNION
    SELECT 'authority', id, name, subscriber_id, verified_at, source, checker FROM authorised_representatives
    WHERE ended_at IS NULL AND (verified_at IS NULL OR verified_at < %(before)s)
    UNION
    SELECT 'authority', id, name, subscriber_id, verified_at, source, checker FROM authorised_representatives
    WHERE ended_at IS NULL
      AND id IN (SELECT subject FROM proposed WHERE kind = 'authority')"""


def _listed(kind: str, **columns: Any) -> Listed:
    return Listed(kind=EvidenceKind(kind), **columns)


def find_oldest(conn: Conn, *, before: datetime, limit: int) -> list[Listed]:
    """Return the records that were verified before a time, or have an open proposal; unknown ones first."""
    with conn.cursor(row_factory=kwargs_row(_listed)) as cursor:
        return cursor.execute(
            f"""SELECT * FROM ({_OLD_OR_PROPOSED}) AS records
                ORDER BY verified_at NULLS FIRST, kind, id LIMIT %(limit)s""",
            {"before": before, "limit": limit},
        ).fetchall()


def find_record(conn: Conn, kind: EvidenceKind, subject: str) -> Listed | None:
    """Return one subscriber or AR in office."""
    with conn.cursor(row_factory=kwargs_row(_listed)) as cursor:
        return cursor.execute(
            f"SELECT * FROM ({_ALL}) AS records WHERE kind = %s AND id = %s", (kind, subject)
        ).fetchone()


def lock_record(conn: Conn, kind: EvidenceKind, subject: str) -> Listed | None:
    """Return one subscriber or AR in office, locked until the end of the transaction."""
    conn.execute(f"SELECT 1 FROM {_TABLES[kind]} WHERE id = %s FOR UPDATE", (subject,))
    return find_record(conn, kind, subject)


def save_evidence(conn: Conn, kind: EvidenceKind, subject: str, evidence: RegisterEvidence) -> None:
    """Store a record's evidence."""
    conn.execute(
        f"UPDATE {_TABLES[kind]} SET verified_at = %s, source = %s, checker = %s WHERE id = %s",
        (evidence.verified_at, evidence.source, evidence.checker, subject),
    )
