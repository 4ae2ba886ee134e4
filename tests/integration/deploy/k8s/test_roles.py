"""roles.sql makes in a cluster's database what `make run` makes on one machine."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from deploy.local import postgres
from deploy.local.waiting import free_port
from deploy.postgres.roles import ROLES, SERVICES
from tests.contract.k8s.rendering import render

ROLES_SQL: Final = Path(postgres.__file__).parents[1] / "k8s" / "components" / "database-roles" / "roles.sql"
_ROLES: Final = """
    SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolcanlogin, rolreplication, rolbypassrls,
           (SELECT array_agg(s ORDER BY s) FROM pg_db_role_setting AS d, unnest(setconfig) AS s WHERE setrole = r.oid)
    FROM pg_roles AS r WHERE rolname !~ '^pg_' ORDER BY rolname"""
_DATABASES: Final = """
    SELECT datname, pg_get_userbyid(datdba), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) AS a)
    FROM pg_database ORDER BY datname"""


@contextmanager
def cluster() -> Iterator[postgres.Cluster]:
    """Yield an empty one."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-test-roles-"))
    os.chmod(folder, 0o755)
    try:
        made = postgres.Cluster(folder=folder / "postgres", port=free_port(), password="superuser", throw_away=True)
        with postgres.running(made):
            yield made
    finally:
        shutil.rmtree(folder)


def catalog(fill: Callable[[postgres.Cluster], None]) -> tuple[list[Any], list[Any]]:
    """Return roles with their limits, databases with their owners and rights."""
    with cluster() as made:
        fill(made)
        with psycopg.connect(made.url("postgres")) as conn:
            return conn.execute(_ROLES).fetchall(), conn.execute(_DATABASES).fetchall()


def one_machine(made: postgres.Cluster) -> None:
    postgres.add_roles(made, dict.fromkeys(ROLES, "password"))
    for service in SERVICES:
        postgres.add_database(made, service)


def kubernetes(made: postgres.Cluster) -> None:
    with psycopg.connect(made.url("postgres"), autocommit=True) as conn:
        for service in SERVICES:
            conn.execute(f"CREATE DATABASE {service} TEMPLATE template0".encode())
    for service in SERVICES:
        with psycopg.connect(made.url(service)) as conn:
            conn.execute(ROLES_SQL.read_bytes())


def test_roles_limits_and_rights_are_the_same() -> None:
    assert catalog(kubernetes) == catalog(one_machine)


def test_former_primary_can_rejoin_its_cluster() -> None:
    """pg_rewind asks in the new primary's `postgres` as the operator's user for replication; nobody else may."""
    first = render("production").one("Cluster", "payment-db")["spec"]["bootstrap"]["initdb"].get("postInitSQL", [])
    with cluster() as made:
        with psycopg.connect(made.url("postgres"), autocommit=True) as conn:
            for statement in first:
                conn.execute(statement.encode())
        kubernetes(made)
        with psycopg.connect(made.url("postgres"), autocommit=True) as conn:
            known = conn.execute("SELECT rolreplication FROM pg_roles WHERE rolname = 'streaming_replica'").fetchall()
            if not known:  # as the operator does it
                conn.execute("CREATE USER streaming_replica REPLICATION")
            query = "SELECT has_database_privilege(%s, 'postgres', 'CONNECT')"
            may = {role: conn.execute(query, (role,)).fetchone() for role in ("streaming_replica", "payment")}
    assert may == {"streaming_replica": (True,), "payment": (False,)}
    assert known == [(True,)]
