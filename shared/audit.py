"""Audit log: a row in the transaction of each change, never changed afterwards."""

from collections.abc import Mapping, Sequence

from psycopg.types.json import Jsonb

from shared.tx import Tx

Detail = str | int | bool | None | list[str]


def record(tx: Tx, *, actor: str, action: str, subject: str, details: Mapping[str, Detail] | None = None) -> None:
    """Add an audit row: who did what to which subject. Contains no secret, and no more personal data than needed."""
    tx.conn.execute(
        "INSERT INTO audit_log (time, actor, action, subject, details, causation_id) VALUES (%s, %s, %s, %s, %s, %s)",
        (tx.now, actor, action, subject, Jsonb(dict(details or {})), tx.causation_id),
    )


def record_each(tx: Tx, *, actor: str, action: str, subjects: Sequence[str]) -> None:
    """Add an audit row for each subject of one change, in one statement."""
    tx.conn.execute(
        """INSERT INTO audit_log (time, actor, action, subject, details, causation_id)
           SELECT %s, %s, %s, subject, '{}'::jsonb, %s FROM unnest(%s::text[]) AS subject""",
        (tx.now, actor, action, tx.causation_id, list(subjects)),
    )
