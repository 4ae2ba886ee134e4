"""The cluster keeps the services apart."""

from collections.abc import Callable

import psycopg
import pytest

from deploy.local import postgres as local_postgres
from deploy.postgres.roles import ROLES, SERVICES
from tests.support.engines import Database, Postgres

PAIRS = [(owner, other) for owner in SERVICES for other in ROLES if not other.startswith(owner)]


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> dict[str, str]:
    """A database of every service, by service."""
    return {s: local_postgres.add_database(postgres.cluster, s, name=f"{s}_apart") for s in SERVICES}


@pytest.mark.parametrize(("owner", "other"), PAIRS)
def test_role_of_another_service_cannot_connect(
    postgres: Postgres, databases: dict[str, str], owner: str, other: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url(databases[owner], other))


@pytest.mark.parametrize("database", ["postgres", "template1"])
@pytest.mark.parametrize("role", SERVICES)
def test_no_service_connects_to_the_servers_own_databases(postgres: Postgres, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url(database, role))


def test_print_process_connects_to_mailing_with_a_role_of_its_own(
    postgres: Postgres, databases: dict[str, str]
) -> None:
    with psycopg.connect(postgres.url(databases["mailing"], "mailing_print")) as conn:
        assert conn.execute("SELECT current_user").fetchone() == ("mailing_print",)


def test_wrong_password_is_refused(postgres: Postgres, databases: dict[str, str]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.cluster.url(databases["payment"], "payment", "wrong"))


def test_running_service_cannot_create_a_table(
    database: Callable[[str], Database],
) -> None:
    with (
        psycopg.connect(database("payment").url) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("CREATE TABLE of_my_own ()")


def test_idle_transaction_is_ended_by_the_server(
    database: Callable[[str], Database],
) -> None:
    with psycopg.connect(database("payment").url) as conn:
        assert conn.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("30s",)
        assert conn.execute("SHOW statement_timeout").fetchone() == ("15s",)


def test_roles_and_databases_can_be_re_created(postgres: Postgres, databases: dict[str, str]) -> None:
    local_postgres.add_roles(postgres.cluster, postgres.passwords)
    assert local_postgres.add_database(postgres.cluster, "payment", name="payment_apart") == databases["payment"]


def test_two_databases_of_one_service_are_separate(
    database: Callable[[str], Database],
) -> None:
    first, second = database("payment"), database("payment")
    assert first.name != second.name
    with psycopg.connect(first.url) as conn:
        assert conn.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
