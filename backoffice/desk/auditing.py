"""SQL of the desk's audit log page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from shared.db import Conn
from shared.operators.pagination import cut

PAGE: Final = 50
_MAX_ID: Final = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An audit record; `sealed` is true once an audit seal covers it."""

    id: int
    time: datetime
    actor: str
    name: str | None
    action: str
    subject: str
    details: dict[str, Any]
    sealed: bool


def list_entries(conn: Conn, before: int | None) -> tuple[list[Entry], int | None]:
    """Return a page of records, newest first, and the id before which the next page begins.

    Omits the consumer's records.
    """
    with conn.cursor(row_factory=class_row(Entry)) as cursor:
        found = cursor.execute(
            """SELECT a.id, a.time, a.actor, s.name, a.action, a.subject, a.details, a.seal_id IS NOT NULL AS sealed
               FROM audit_log AS a LEFT JOIN staff AS s ON s.id = regexp_replace(a.actor, '^staff ', '')
               WHERE a.id < %s AND a.actor <> 'desk' ORDER BY a.id DESC LIMIT %s""",
            (min(before or _MAX_ID, _MAX_ID), PAGE + 1),
        ).fetchall()
    shown, last = cut(found, PAGE)
    return shown, None if last is None else last.id
