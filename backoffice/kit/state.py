"""The reader's own memory, a SQLite file: what was worked on and how far the feed was read change together."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from backoffice.kit.order import Finding

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS progress (feed TEXT PRIMARY KEY, baseline INTEGER NOT NULL, next_position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (position INTEGER PRIMARY KEY, id BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sequences (subject TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS findings (kind TEXT NOT NULL, position INTEGER, detail TEXT NOT NULL,
                                     UNIQUE (kind, position, detail));
CREATE TABLE IF NOT EXISTS certificates (
    serial TEXT PRIMARY KEY, position INTEGER NOT NULL, renewal_id TEXT NOT NULL, item_id TEXT NOT NULL, srn TEXT,
    server_names TEXT, not_before TEXT, not_after TEXT, sha256 TEXT, issued_at TEXT, accepted_at TEXT, revoked_at TEXT,
    revocation_reason TEXT);
"""


class AnotherBeginning(Exception):
    """The state begins at another position than was asked for."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What the feed has said of one certificate; of one whose issuance is missing only what came later."""

    serial: str
    position: int
    renewal_id: str
    item_id: str
    srn: str | None = None
    server_names: tuple[str, ...] = ()
    not_before: str | None = None
    not_after: str | None = None
    sha256: str | None = None
    issued_at: str | None = None
    accepted_at: str | None = None
    revoked_at: str | None = None
    revocation_reason: str | None = None

    @property
    def state(self) -> str:
        """Where it stands."""
        if self.revoked_at is not None:
            return "revoked"
        return "accepted" if self.accepted_at is not None else "issued"


_CERTIFICATE: Final = (
    "serial, position, renewal_id, item_id, srn, server_names, not_before, not_after, sha256, issued_at, accepted_at, "
    "revoked_at, revocation_reason"
)


class State:
    """The memory of one feed. Everything changes in `transaction`, which is undone as a whole if it fails."""

    def __init__(self, file: Path, feed: str, *, baseline: int | None) -> None:
        """Open or begin it. Raises AnotherBeginning if it began elsewhere than at `baseline`."""
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _TABLES)
        self._feed = feed
        begin = baseline or 0
        self._db.execute("INSERT OR IGNORE INTO progress VALUES (?, ?, ?)", (feed, begin, begin + 1))
        if baseline is not None and self.baseline != baseline:
            raise AnotherBeginning(f"{file} begins after position {self.baseline}, not {baseline}")

    def close(self) -> None:
        """Let go."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @property
    def baseline(self) -> int:
        """The position after which it begins."""
        return int(self._progress("baseline"))

    @property
    def next_position(self) -> int:
        """The first position that is not booked."""
        return int(self._progress("next_position"))

    def _progress(self, column: str) -> int:
        row = self._db.execute(f"SELECT {column} FROM progress WHERE feed = ?", (self._feed,)).fetchone()
        return int(row[0])

    def go_on_to(self, position: int) -> None:
        """Everything before this position is booked or given up."""
        self._db.execute("UPDATE progress SET next_position = ? WHERE feed = ?", (position, self._feed))

    def id_at(self, position: int) -> uuid.UUID | None:
        """The event that was booked at this position."""
        row = self._db.execute("SELECT id FROM seen WHERE position = ?", (position,)).fetchone()
        return None if row is None else uuid.UUID(bytes=row[0])

    def book(self, position: int, event_id: uuid.UUID) -> None:
        """This event stands at this position."""
        self._db.execute("INSERT INTO seen VALUES (?, ?)", (position, event_id.bytes))

    def follow(self, subject: str, sequence: int) -> int | None:
        """Count a renewal's event; its sequence before, None for the first that is met."""
        row = self._db.execute("SELECT last FROM sequences WHERE subject = ?", (subject,)).fetchone()
        self._db.execute("INSERT OR REPLACE INTO sequences VALUES (?, ?)", (subject, sequence))
        return None if row is None else int(row[0])

    def note(self, finding: Finding) -> bool:
        """Keep a finding; False for one that was kept before."""
        position = finding.position if finding.position is not None else -1
        return bool(
            self._db.execute(
                "INSERT OR IGNORE INTO findings VALUES (?, ?, ?)", (finding.kind.value, position, finding.detail)
            ).rowcount
        )

    def findings(self) -> list[tuple[str, int, str]]:
        """Kind, position (-1 without one) and detail of all."""
        return self._db.execute("SELECT kind, position, detail FROM findings ORDER BY position, kind").fetchall()

    def save_certificate(self, certificate: Certificate) -> None:
        """As it stands now."""
        values = {**vars(certificate), "server_names": json.dumps(certificate.server_names)}
        named = ", ".join(f":{column}" for column in _CERTIFICATE.split(", "))
        self._db.execute(f"INSERT OR REPLACE INTO certificates ({_CERTIFICATE}) VALUES ({named})", values)

    def find_certificate(self, serial: str) -> Certificate | None:
        """By serial number."""
        row = self._db.execute(f"SELECT {_CERTIFICATE} FROM certificates WHERE serial = ?", (serial,)).fetchone()
        return None if row is None else _certificate(row)

    def certificates(self) -> Iterator[Certificate]:
        """All of them, in the order in which the feed named them first."""
        for row in self._db.execute(f"SELECT {_CERTIFICATE} FROM certificates ORDER BY position, serial"):
            yield _certificate(row)


def _certificate(row: tuple[str | None, ...]) -> Certificate:
    values: dict[str, object] = dict(zip(_CERTIFICATE.split(", "), row, strict=True))
    values["server_names"] = tuple(json.loads(str(values["server_names"])))
    return Certificate(**values)  # type: ignore[arg-type]  # the columns are its fields


def as_text(moment: datetime) -> str:
    """A moment as all files of the kit write it."""
    return moment.isoformat().replace("+00:00", "Z")
