"""Operations of docs/operations.md: its SQL runs, its commands, files and objects exist."""

import importlib
import re
from pathlib import Path
from typing import Final

import psycopg
import pytest

from deploy.postgres.roles import SERVICES
from shared.runtime.command_line import run
from tests.contract.k8s.rendering import name, render
from tests.support.engines import Postgres

ROOT: Final = Path(__file__).parents[4]
TEXT: Final = (ROOT / "docs" / "operations.md").read_text("utf-8")
STATEMENTS: Final = re.findall(r"```sql\n\s*-- (\w+)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("whose", "statement"), STATEMENTS, ids=[whose for whose, _ in STATEMENTS])
def test_sql_of_the_manifests_runs_on_its_database(postgres: Postgres, whose: str, statement: str) -> None:
    for service in SERVICES if whose == "every" else (whose,):
        with postgres.database(service) as database, psycopg.connect(database.superuser_url) as conn:
            conn.execute(statement.encode())


# Of a runbook, by the service that it is about; the rest concern every service.
OF_ONE: Final = dict.fromkeys(("IssuanceRefuses", "PerspectiveSilent", "QuorumLost", "ValidationFails"), "issuance") | {
    "RenewalAtRisk": "application"
}
IN_RUNBOOKS: Final = [
    (path.stem, statement)
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md"))
    for statement in re.findall(r"`((?:SELECT|UPDATE) [^`]+)`", path.read_text("utf-8"))
]


def test_sql_of_the_runbooks_runs_unchanged(postgres: Postgres) -> None:
    assert len(IN_RUNBOOKS) > 3
    for service in SERVICES:
        with postgres.database(service) as database, psycopg.connect(database.superuser_url) as conn:
            for runbook, statement in IN_RUNBOOKS:
                if OF_ONE.get(runbook, service) == service:
                    conn.execute(statement.replace("…", "0").encode())


def test_commands_of_the_runbooks_exist() -> None:
    named = set(re.findall(r"python -m services\.(\w+)\.main ([a-z-]+)", TEXT))
    named |= {("SERVICE", command) for command in ("recall", "rewind", "verify-audit", "held")}
    named |= {("identity", "enrol"), ("application", "import"), ("issuance", "register-reader"), ("payment", "recheck")}
    named |= {("issuance", "reissue-pin"), ("identity", "restore-evidence"), ("identity", "replace-ar")}
    for service, command in named:
        if command != "COMMAND":
            main = importlib.import_module(f"services.{service.replace('SERVICE', 'application')}.main")
            with pytest.raises(SystemExit) as ended:
                run(main.SERVICE, [command, "--help"])
            assert ended.value.code == 0


def test_files_of_the_runbooks_exist() -> None:
    for path in re.findall(r"`((?:docs|deploy|tests|benchmarks)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(overlays/[\w./-]+)`", TEXT):
        assert (ROOT / "deploy" / "k8s" / path).exists(), path


def test_objects_of_the_runbooks_exist() -> None:
    known = {name(each) for overlay in ("dev", "production") for each in render(overlay).objects}
    for kind, which in re.findall(r"(deployment|service|job)/([\w-]+)", TEXT):
        if "SERVICE" not in which:
            assert which in known, f"{kind}/{which}"
