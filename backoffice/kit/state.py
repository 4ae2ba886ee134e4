"""State of a reader in a SQLite file: recorded work and position change in one transaction."""

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
    """The state file begins at another position than requested."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The facts about one certificate; if its issuance is missing, the later ones only."""

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
        """The certificate's state."""
        if self.revoked_at is not None:
            return "revoked"
        return "accepted" if self.accepted_at is not None else "issued"


_CERTIFICATE: Final = (
    "serial, position, renewal_id, item_id, srn, server_names, not_before, not_after, sha256, issued_at, accepted_at, "
    "revoked_at, revocation_reason"
)


class State:
    """The recorded state of one feed.

    All changes are made in `transaction`, which is rolled back as a whole on failure.
    """

    def __init__(self, file: Path, feed: str, *, baseline: int | None) -> None:
        """Open or create the file. Raises AnotherBeginning if it begins elsewhere than at `baseline`."""
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _TABLES)
        self._feed = feed
        begin = baseline or 0
        self._db.execute("INSERT OR IGNORE INTO progress VALUES (?, ?, ?)", (feed, begin, begin + 1))
        if baseline is not None and self.baseline != baseline:
            raise AnotherBeginning(f"{file} begins after position {self.baseline}, not {baseline}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Yield a transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # an interrupted follower, too, must leave no open transaction
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @property
    def baseline(self) -> int:
        """The position after which the state begins."""
        return int(self._progress("baseline"))

    @property
    def next_position(self) -> int:
        """The first position that is not recorded."""
        return int(self._progress("next_position"))

    def _progress(self, column: str) -> int:
        row = self._db.execute(f"SELECT {column} FROM progress WHERE feed = ?", (self._feed,)).fetchone()
        return int(row[0])

    def go_on_to(self, position: int) -> None:
        """Set the next position: everything before it is recorded or given up."""
        self._db.execute("UPDATE progress SET next_position = ? WHERE feed = ?", (position, self._feed))

    def id_at(self, position: int) -> uuid.UUID | None:
        """Return the id of the event recorded at this position."""
        row = self._db.execute("SELECT id FROM seen WHERE position = ?", (position,)).fetchone()
        return None if row is None else uuid.UUID(bytes=row[0])

    def book(self, position: int, event_id: uuid.UUID) -> None:
        """Record an event at its position."""
        self._db.execute("INSERT INTO seen VALUES (?, ?)", (position, event_id.bytes))

    def follow(self, subject: str, sequence: int) -> int | None:
        """Advance a renewal's sequence. Returns the last sequence before, None for a renewal that is new."""
        row = self._db.execute("SELECT last FROM sequences WHERE subject = ?", (subject,)).fetchone()
        self._db.execute("INSERT OR REPLACE INTO sequences VALUES (?, ?)", (subject, sequence))
        return None if row is None else int(row[0])

    def note(self, finding: Finding) -> bool:
        """Record a finding. Returns False if it was recorded before."""
        position = finding.position if finding.position is not None else -1
        return bool(
            self._db.execute(
                "INSERT OR IGNORE INTO findings VALUES (?, ?, ?)", (finding.kind.value, position, finding.detail)
            ).rowcount
        )

    def findings(self) -> list[tuple[str, int, str]]:
        """Return kind, position (-1 without one) and detail of all findings."""
        return self._db.execute("SELECT kind, position, detail FROM findings ORDER BY position, kind").fetchall()

    def save_certificate(self, certificate: Certificate) -> None:
        """Store the certificate's facts."""
        values = {**vars(certificate), "server_names": json.dumps(certificate.server_names)}
        named = ", ".join(f":{column}" for column in _CERTIFICATE.split(", "))
        self._db.execute(f"INSERT OR REPLACE INTO certificates ({_CERTIFICATE}) VALUES ({named})", values)

    def find_certificate(self, serial: str) -> Certificate | None:
        """Return a certificate by its serial number."""
        row = self._db.execute(f"SELECT {_CERTIFICATE} FROM certificates WHERE serial = ?", (serial,)).fetchone()
        return None if row is None else _certificate(row)

    def certificates(self) -> Iterator[Certificate]:
        """Yield all certificates, in the order in which the feed first named them."""
        for row in self._db.execute(f"SELECT {_CERTIFICATE} FROM certificates ORDER BY position, serial"):
            yield _certificate(row)


def _certificate(row: tuple[str | None, ...]) -> Certificate:
    values: dict[str, object] = dict(zip(_CERTIFICATE.split(", "), row, strict=True))
    values["server_names"] = tuple(json.loads(str(values["server_names"])))
    return Certificate(**values)  # type: ignore[arg-type]  # the columns are its fields


def as_text(moment: datetime) -> str:
    """Return a time in the format of all files of the kit."""
    return moment.isoformat().replace("+00:00", "Z")
