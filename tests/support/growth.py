"""A million rows in every table of a database that grows, made from the tables' own columns: for looking at plans."""

from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg import sql

ROWS: Final = 1_000_000
# What is open, due or waiting at any time is a small part: of a thousand rows one has each such mark.
_SELDOM: Final = 1_000
# Of these there is one for so many renewals.
FEWER: Final = {"posting_batches": 1_000, "outbox_recoveries": 100_000}
# By type: a value of row number n.
_VALUES: Final = {
    "uuid": "lpad(to_hex(n), 32, '0')::uuid",
    "text": "'x' || n",
    "bytea": "convert_to('x' || n, 'UTF8')",
    "bool": f"n %% {_SELDOM} = 0",
    "int4": "(n %% 1000)::int4",
    "int8": "n",
    "numeric": "n",
    "date": "DATE '2020-01-01' + (n / 500)::int4",
    "timestamptz": "TIMESTAMPTZ '2020-01-01' + n * INTERVAL '3 minutes'",
    "jsonb": "jsonb_build_object('n', n)",
    "_text": "ARRAY['x' || n]",
    "_uuid": "ARRAY[lpad(to_hex(n), 32, '0')::uuid]",
    "_bytea": "ARRAY['x'::bytea]",
}
# Columns whose values are few, or are there for what is open only.
_FEW: Final = {"state", "type", "topic", "consumer", "product", "language", "standing", "action", "template", "kind"}
_OPEN_ONLY: Final = {
    "due_at", "leased_until", "held_since", "held_reason", "unsendable_reason", "erasing_at", "recovery_id",
    "position", "signature", "revoked_at", "revocation_reason", "withheld_at", "replaced_by", "replaces", "returned_on",
    "voided_at", "void_reason",
}  # fmt: skip
_DONE_ONLY: Final = {"sent_at", "seal_id", "settled_at", "captured_at", "der", "blanked_at"}


def fill(conn: psycopg.Connection[Any], tables: Iterable[str], rows: int = ROWS) -> None:
    """Fill these tables as a superuser: constraints and keys to others are not looked at, unique keys hold."""
    conn.execute("SET session_replication_role = replica")
    for table in tables:
        _drop_checks(conn, table)
        columns = conn.execute(
            """SELECT a.attname, t.typname, a.attnotnull FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
               WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
            (table,),
        ).fetchall()
        conn.execute(
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM generate_series(1, {}) AS n").format(
                sql.Identifier(table),
                sql.SQL(", ").join(sql.Identifier(name) for name, _, _ in columns),
                sql.SQL(", ").join(sql.SQL(_value(*column)) for column in columns),
                sql.Literal(max(1, rows // FEWER.get(table, 1))),
            )
        )
    conn.execute("ANALYZE")


def _drop_checks(conn: psycopg.Connection[Any], table: str) -> None:
    checks = conn.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", (table,)
    ).fetchall()
    for (name,) in checks:
        dropped = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name))
        conn.execute(dropped)


def _value(name: str, kind: str, required: bool) -> str:
    value = _VALUES[kind].replace("%%", "%")
    if name in _OPEN_ONLY and not required:
        return f"CASE WHEN n % {_SELDOM} = 0 THEN {value} END"
    if name in _FEW and kind == "text":
        return f"CASE WHEN n % {_SELDOM} = 0 THEN 'queued' ELSE 'done' || n % 5 END"
    if name in _DONE_ONLY and not required:
        return f"CASE WHEN n % {_SELDOM} <> 0 THEN {value} END"
    return value
