"""The glossary names modules and tables that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
DATABASES = {"every database": "shared"} | {
    name: f"services/{name}" for name in ("identity", "application", "payment", "mailing", "issuance")
}


def test_modules_of_the_glossary_exist() -> None:
    paths = re.findall(r"`([a-z_*]+/[\w*/.-]+)`", GLOSSARY)
    assert len(paths) > 30
    assert not [path for path in paths if not list(ROOT.glob(path))]


def test_tables_of_the_glossary_exist() -> None:
    where = [line.split("|")[-2] for line in GLOSSARY.splitlines() if line.startswith("| ")]
    named = re.findall(r"(every database|\w+): `(\w+)", "\n".join(where))
    assert len(named) > 20
    assert not [(database, table) for database, table in named if table not in tables_of(database)]


def tables_of(database: str) -> set[str]:
    """Return the tables that the migrations of a database create."""
    files = (ROOT / DATABASES[database] / "migrations").glob("*.sql")
    return {table for file in files for table in re.findall(r"CREATE TABLE (\w+)", file.read_text())}
