"""No statement reads more as the tables grow: each is explained without sequential scans, and what is left is named.

The plans are generic (no values) and made on empty tables: where an index can answer, it is taken.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pytest

from backoffice.desk import envelopes, reading
from shared.runtime import database_gauges, pruning
from tests.integration.shared.runtime.test_pruning import ALL, classes
from tests.support.engines import Database
from tests.support.growth import FEWER, fill
from tests.support.statements import ROOT, Statement, of_module

SHARED: Final = tuple(sorted((ROOT / "shared").rglob("*.py")))
FOLDERS: Final = {name: ROOT / "services" / name for name in ALL} | {"desk": ROOT / "backoffice" / "desk"}
# A condition on these columns alone leaves a large part of the table.
COARSE: Final = {"topic", "consumer", "state", "kind", "type", "language", "product", "reason", "action"}
_PASS_THROUGH: Final = {"LockRows", "Result", "Limit", "Subquery Scan", "Append", "Merge Append"}

# Statements that may read a whole table, each with the reason.
ALLOWED: Final = {
    "shared/messaging/feed.py:_unstamped<stamp>": "the topic picks a partial index: see the test below",
    "shared/security/audit_seals.py:check": "an operator's command that reads the whole log, as a stream",
    "services/identity/crl_store.py:prune_crls": "a list per CA and day that evidence rests on, after all the years",
    "services/mailing/envelope_store.py:list_batches": "the newest fifty batches and their letters",
    "services/issuance/certificate_store.py:latest_crl": "the newest list is signed, or the one before it",
    "reading identity_evidence_lapsing": "a range of the time; without its value a third of the register is expected",
    "reading issuance_crl_age_seconds": "the newest list is signed, or the one before it",
    "reading issuance_ct_unknown_certificates": "each row is an incident",
    "backoffice/desk/reading.py:_items<find_items>": "LIKE of a parameter: its value decides on the index for prefixes",
    "backoffice/desk/rebuild.py:_places<rebuild>": "an operator's command that makes everything again",
}
# Statements whose plan without the values takes a third of all rows for due; with the time it goes by index.
GENERIC: Final = {
    "services/payment/refund_store.py:lock_due_refund": "few refunds are due",
}
# Statements that the code puts together when it runs, each with the reason why it is not looked at, or is elsewhere.
UNREADABLE: Final = {
    "shared/security/signed_extract.py:_records": "an operator's command that reads everything, as a stream",
    "shared/runtime/database_gauges.py:_take": "readings are looked at by themselves",
    "shared/runtime/migrate.py:_grant": "rights, not rows",
    "shared/runtime/migrate.py:migrate": "migrations",
    "shared/runtime/pruning.py:prune_batch": "rules are looked at by themselves",
    "services/identity/evidence_store.py:lock_record": "by primary key",
    "services/identity/evidence_store.py:save_evidence": "by primary key",
    "backoffice/desk/envelopes.py:_find<list_envelopes>": "its lists are looked at by themselves",
    "backoffice/desk/reading.py:_items<list_items>": "its lists are looked at by themselves",
    "backoffice/desk/rebuild.py:_empty": "an operator's command that makes everything again",
    "backoffice/desk/rebuild.py:state": "an operator's command that reads everything, as a stream",
    "backoffice/desk/store.py:change_item": "by primary key",
    "backoffice/desk/store.py:save_envelope": "inserts",
    "backoffice/desk/store.py:save_item": "inserts",
    "backoffice/desk/store.py:save_moment": "inserts",
}


def statements(service: str) -> Iterator[Statement]:
    """Yield all of a service's own, or of what every service shares; readings and pruning, too."""
    files = SHARED if service == "shared" else sorted(FOLDERS[service].rglob("*.py"))
    for path in files:
        if "sandbox" not in path.parts and ".execute" in path.read_text():
            yield from of_module(path)
    if service == "shared":
        yield from (
            Statement(where=f"reading {each.gauge._name}", text=each.query) for each in database_gauges.OF_EVERY_SERVICE
        )
        yield from (Statement(where=f"pruning {each.table}", text=each.statement) for each in pruning.OF_EVERY_DATABASE)
    else:
        made = ALL[service]
        yield from (Statement(where=f"reading {each.gauge._name}", text=each.query) for each in made.readings)
        yield from (Statement(where=f"pruning {each.table}", text=each.statement) for each in made.pruning)
    if service == "desk":
        yield from desk_lists()


def desk_lists() -> Iterator[Statement]:
    """Yield the desk's lists, their first page and a later one."""
    for standing, (condition, keyset) in reading._LISTS.items():
        for follows in ("", f"AND {keyset.follows(reading._AFTER)}"):
            rest = f"WHERE {condition} {follows} {keyset.order} LIMIT 26"
            yield Statement(where=f"list {standing}", text=f"{reading._ITEMS} {rest}")
    for place, (condition, keyset) in envelopes._LISTS.items():
        for follows in ("", f"AND {keyset.follows(envelopes._AFTER)}"):
            rest = f"WHERE {condition} {follows} {keyset.order} LIMIT 26"
            yield Statement(where=f"list {place}", text=f"{envelopes._ENVELOPES} {rest}")


def explained(conn: psycopg.Connection[Any], statement: Statement) -> dict[str, Any] | None:
    """Return the generic plan; None of what has no plan."""
    # A plan that is made with the values knows how few rows are wanted.
    text = re.sub(r"LIMIT \$\d+", "LIMIT 100", statement.numbered())
    if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", text, re.I):
        return None
    row = conn.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


@dataclass(frozen=True)
class Indexes:
    """The tables and columns of all indexes, and which indexes are partial: these hold few rows by design."""

    tables: dict[str, str]
    columns: dict[str, set[str]]
    partial: set[str]

    @classmethod
    def read(cls, conn: psycopg.Connection[Any]) -> "Indexes":
        rows = conn.execute(
            """SELECT c.relname, t.relname, i.indpred IS NOT NULL,
                      ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = t.oid AND a.attnum > 0)
               FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid"""
        ).fetchall()
        return cls(
            tables={index: table for index, table, _, _ in rows},
            columns={index: {*columns} for index, _, _, columns in rows},
            partial={index for index, _, is_partial, _ in rows if is_partial},
        )


def whole(node: dict[str, Any], indexes: Indexes, *, limited: bool = False) -> Iterator[str]:
    """Yield the tables of which a plan reads more when they grow."""
    kind, index = node["Node Type"], node.get("Index Name", "")
    if kind == "Seq Scan":
        yield node["Relation Name"]
    elif index and index not in indexes.partial:
        condition = {*re.findall(r"[a-z_0-9]+", node.get("Index Cond", ""))} & indexes.columns[index]
        stops = limited and "Filter" not in node
        if not stops and condition <= COARSE:
            yield indexes.tables[index]
    inner = kind == "Limit" or (limited and kind in _PASS_THROUGH)
    for each in node.get("Plans", ()):
        yield from whole(each, indexes, limited=inner)


def prepare(conn: psycopg.Connection[Any]) -> None:
    """Let the planner take an index where one can answer, and join by index, as it does in large tables.

    A database that another test used may have been vacuumed: what the planner learnt of its empty tables goes first.
    """
    conn.execute("DELETE FROM pg_statistic")
    conn.execute("UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relnamespace = 'public'::regnamespace")
    for way in ("seqscan", "hashjoin", "mergejoin"):
        conn.execute(f"SET enable_{way} = off".encode())


@pytest.mark.parametrize("service", ["shared", *ALL])
def test_no_statement_reads_more_as_the_tables_grow(database: Callable[[str], Database], service: str) -> None:
    made = "issuance" if service == "shared" else service
    said = classes("Every database") | classes(made)
    small = {table for table, kind in said.items() if kind.startswith(("never grows", "short-lived"))}
    found: dict[str, set[str]] = {}
    unreadable: set[str] = set()
    seen = 0
    with psycopg.connect(database(made).superuser_url, autocommit=True) as conn:
        prepare(conn)
        indexes = Indexes.read(conn)
        for statement in statements(service):
            if statement.text is None:
                unreadable.add(statement.where)
                continue
            plan = explained(conn, statement)
            seen += plan is not None
            if plan is not None and (tables := {*whole(plan, indexes)} - small):
                found.setdefault(statement.where, set()).update(tables)
    assert {where: tables for where, tables in found.items() if where not in ALLOWED} == {}
    assert {where for where in unreadable if not {where, where.partition("<")[0]} & {*UNREADABLE}} == set()
    assert seen >= 20, "the statements are found"


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("service", ALL)
def test_no_statement_scans_a_table_of_a_million_rows(database: Callable[[str], Database], service: str) -> None:
    said = classes("Every database") | classes(service)
    grows = [table for table, kind in said.items() if not kind.startswith(("never grows", "short-lived"))]
    with psycopg.connect(database(service).superuser_url, autocommit=True) as conn:
        fill(conn, grows)
        found = {
            statement.where: tables
            for statement in (*statements("shared"), *statements(service))
            if statement.text is not None and statement.where not in ALLOWED | GENERIC
            if (plan := explained(conn, statement)) is not None and (tables := {*scanned(plan)} & ({*grows} - {*FEWER}))
        }
    assert found == {}


def scanned(node: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that a plan reads from their first row to their last."""
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for each in node.get("Plans", ()):
        yield from scanned(each)


def test_relay_finds_unstamped_rows_by_index(database: Callable[[str], Database]) -> None:
    with psycopg.connect(database("issuance").superuser_url) as conn:
        conn.execute("SET enable_seqscan = off")
        query = "SELECT id FROM outbox WHERE position IS NULL AND topic = %s ORDER BY id LIMIT 500"
        cursor = psycopg.ClientCursor(conn)
        plan = cursor.execute(f"EXPLAIN {query}".encode(), ("issuance.events",)).fetchall()
    assert "outbox_unstamped" in str(plan)


@pytest.mark.parametrize("gone", ["checkouts_payment"])
def test_missing_index_is_found(database: Callable[[str], Database], gone: str) -> None:
    with psycopg.connect(database("payment").superuser_url, autocommit=True) as conn:
        prepare(conn)
        conn.execute(f"DROP INDEX {gone}".encode())
        indexes = Indexes.read(conn)
        plans = [explained(conn, each) for each in statements("payment") if each.text is not None]
        assert [table for plan in plans if plan is not None for table in whole(plan, indexes)]
