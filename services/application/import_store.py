"""SQL of imports; takes a connection and never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from services.application.subscription import Subscription
from shared.db import Conn

_COLUMNS: Final = (
    "srn, subscriber_id, subscriber_name, ar_id, ar_name, product, server_names, additional_servers, standing, "
    "certificate, serial, not_after, paid_from, paid_until"
)
_IMPORT: Final = "id, file_sha256, rows_read, rows_applied, checked_at"


@dataclass(frozen=True, kw_only=True)
class Import:
    """The progress of a file's import."""

    id: int
    file_sha256: str
    rows_read: int
    rows_applied: int
    checked_at: datetime | None


def lock(conn: Conn) -> bool:
    """Lock out other imports for this session. Returns False if another one runs."""
    row = conn.execute("SELECT pg_try_advisory_lock(hashtextextended('application-import', 0))").fetchone()
    return row is not None and bool(row[0])


def find_open(conn: Conn) -> Import | None:
    """Return the import that has started and not ended."""
    with conn.cursor(row_factory=class_row(Import)) as cursor:
        return cursor.execute(f"SELECT {_IMPORT} FROM imports WHERE ended_at IS NULL").fetchone()


def begin(conn: Conn, file_sha256: str, actor: str, now: datetime) -> Import:
    """Insert the import of a file; there must be no open one."""
    with conn.cursor(row_factory=class_row(Import)) as cursor:
        begun = cursor.execute(
            f"INSERT INTO imports (file_sha256, actor, began_at) VALUES (%s, %s, %s) RETURNING {_IMPORT}",
            (file_sha256, actor, now),
        ).fetchone()
    assert begun is not None
    return begun


def add_rows(conn: Conn, import_id: int, subscriptions: Sequence[Subscription], rows_read: int) -> None:
    """Store checked rows. Raises psycopg.errors.UniqueViolation if the file contains an SRN twice."""
    with conn.cursor() as cursor, cursor.copy(f"COPY import_rows ({_COLUMNS}) FROM STDIN") as copy:
        for each in subscriptions:
            values = vars(each) | {"server_names": list(each.server_names), "product": each.product.value}
            copy.write_row([values[column] for column in _COLUMNS.split(", ")])
    conn.execute("UPDATE imports SET rows_read = %s WHERE id = %s", (rows_read, import_id))


def find_known(conn: Conn, srns: Sequence[str]) -> set[str]:
    """Return those of the SRNs that have a stored row."""
    return {row[0] for row in conn.execute("SELECT srn FROM import_rows WHERE srn = ANY(%s)", (list(srns),)).fetchall()}


def save_checked(conn: Conn, import_id: int, now: datetime) -> None:
    """Record that the whole file is checked without a refusal."""
    conn.execute("UPDATE imports SET checked_at = %s WHERE id = %s", (now, import_id))


def apply_rows(conn: Conn, import_id: int, limit: int) -> list[str]:
    """Apply the next rows to the subscriptions, except locked ones. Returns their SRNs.

    An import that holds locks never waits for others: the consumer locks subscriptions in the order of its events. A
    certificate issued since the register was written stays, and no paid period becomes shorter.
    """
    locked = conn.execute(
        """SELECT srn FROM subscriptions WHERE srn IN (SELECT srn FROM import_rows ORDER BY srn LIMIT %s)
           FOR UPDATE SKIP LOCKED""",
        (limit,),
    ).fetchall()
    rows = conn.execute(
        f"""WITH batch AS (
                DELETE FROM import_rows WHERE srn IN (SELECT srn FROM import_rows ORDER BY srn LIMIT %(limit)s)
                    AND (srn = ANY(%(locked)s)
                         OR NOT EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.srn = import_rows.srn))
                RETURNING {_COLUMNS})
            INSERT INTO subscriptions AS known ({_COLUMNS}) SELECT {_COLUMNS} FROM batch ORDER BY srn
            ON CONFLICT (srn) DO UPDATE SET subscriber_id = excluded.subscriber_id,
                subscriber_name = excluded.subscriber_name, ar_id = excluded.ar_id, ar_name = excluded.ar_name,
                product = excluded.product, server_names = excluded.server_names,
                additional_servers = excluded.additional_servers,
                standing = CASE WHEN known.not_after <= excluded.not_after
                                THEN excluded.standing ELSE known.standing END,
                certificate = CASE WHEN known.not_after <= excluded.not_after
                                   THEN excluded.certificate ELSE known.certificate END,
                serial = CASE WHEN known.not_after <= excluded.not_after THEN excluded.serial ELSE known.serial END,
                not_after = GREATEST(known.not_after, excluded.not_after),
                reminder_due_at = 'epoch',
                paid_from = CASE WHEN known.paid_until < excluded.paid_until
                                 THEN excluded.paid_from ELSE known.paid_from END,
                paid_until = GREATEST(known.paid_until, excluded.paid_until)
            RETURNING srn""",
        {"limit": limit, "locked": [row[0] for row in locked]},
    ).fetchall()
    conn.execute("UPDATE imports SET rows_applied = rows_applied + %s WHERE id = %s", (len(rows), import_id))
    return [row[0] for row in rows]


def has_rows(conn: Conn) -> bool:
    """Return whether stored rows remain."""
    return conn.execute("SELECT 1 FROM import_rows LIMIT 1").fetchone() is not None


def discard_rows(conn: Conn, limit: int) -> int:
    """Delete rows of an abandoned import. Returns their number."""
    return conn.execute(
        "DELETE FROM import_rows WHERE srn IN (SELECT srn FROM import_rows ORDER BY srn LIMIT %s)", (limit,)
    ).rowcount


def end(conn: Conn, import_id: int, now: datetime) -> None:
    """Record the end of the import: all rows are applied, or none will be."""
    conn.execute("UPDATE imports SET ended_at = %s WHERE id = %s", (now, import_id))
