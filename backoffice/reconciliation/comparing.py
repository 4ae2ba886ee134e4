"""Comparison of all loaded records: lists divergences by kind and renewal."""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from backoffice.reconciliation import kinds, loading, tables
from backoffice.reconciliation.kind import Kind
from shared.security.tokens import KeySet

MAX_EXTRACT_AGE: Final = timedelta(hours=26)
# A letter is posted on the next working day; the longest wait is three holidays in a row and a weekend.
MAX_POSTING_TIME: Final = timedelta(days=6)
# Divergences of one kind that are listed one by one.
MAX_NAMED: Final = 1000


class ExtractMissing(ValueError):
    """A service's extract is missing: nothing can be compared."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A difference between two records."""

    kind: str
    renewal: str | None
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.renewal or '-'}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of one comparison. Without topics, provider, mail or earlier extracts their kinds are not compared."""

    extracts: Sequence[Path]
    keys: Mapping[str, KeySet]
    topics: Path | None = None
    provider: Path | None = None
    mail: Path | None = None
    earlier: Sequence[Path] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result: the divergences, the kinds that could not be compared, and each service's state hash."""

    divergences: tuple[Divergence, ...]
    skipped: tuple[str, ...]
    states: Mapping[str, str]


def compare(
    files: Files, *, services: Sequence[str], now: datetime, grace: timedelta, since: datetime | None = None
) -> Report:
    """Load the files and compare them. Raises ExtractRefused, ExtractMissing or BadRecord for files that prove nothing.

    Records younger than the oldest file less `grace` may be under way and are not compared.
    """
    with _database() as conn:
        taken = _load(conn, files, now=now)
        states = dict(conn.execute("SELECT service, state FROM extract ORDER BY service").fetchall())
        if missing := sorted(set(services) - set(states)):
            raise ExtractMissing(f"there is no extract of {', '.join(missing)}")
        loading.mark_stale(conn, now, MAX_EXTRACT_AGE)
        tables.index(conn)
        there = {name for name in ("topics", "provider", "mail", "earlier") if getattr(files, name)}
        asked = [kind for kind in kinds.ALL if kind.needs <= there]
        values = {
            "horizon": (min(taken) - grace).isoformat(),
            "since": "" if since is None else since.isoformat(),
            "posted_before": (min(taken) - max(grace, MAX_POSTING_TIME)).isoformat(),
        }
        return Report(
            divergences=tuple(found for kind in asked for found in _ask(conn, kind, values)),
            skipped=tuple(kind.name for kind in kinds.ALL if kind not in asked),
            states=states,
        )


def _load(conn: sqlite3.Connection, files: Files, *, now: datetime) -> list[datetime]:
    tables.create(conn)
    taken = [loading.load_extract(conn, path, files.keys, now=now).taken_at for path in files.extracts]
    for path, name in ((files.topics, "record"), (files.provider, "effect"), (files.mail, "delivery")):
        if path is not None:
            taken.append(loading.load_records(conn, path, name))
    for path in files.earlier:
        loading.load_earlier_heads(conn, path, files.keys, now=now)
    return taken or [now]


def _ask(conn: sqlite3.Connection, kind: Kind, values: Mapping[str, str]) -> Iterator[Divergence]:
    rows = conn.execute(f"SELECT * FROM ({kind.query}) LIMIT {MAX_NAMED}", values)
    for renewal, detail, *_ in rows:
        yield Divergence(kind=kind.name, renewal=renewal, detail=str(detail))


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """Yield a SQLite file, not memory: the records of a million renewals are gigabytes."""
    with (
        tempfile.TemporaryDirectory(prefix="reconciliation-") as folder,
        closing(sqlite3.connect(Path(folder) / "records.sqlite", isolation_level=None)) as conn,
    ):
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("BEGIN")
        yield conn
