"""Loading of a comparison's files: signed extracts, and the records of topics, provider and mail server."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from backoffice.reconciliation import tables
from backoffice.reconciliation.tables import BadRecord
from shared.security.signed_extract import FORMAT, fields_of
from shared.security.tokens import KeySet, TokenKind, TokenRefused, verify

# A genuine line is a few hundred bytes long.
_MAX_LINE_CHARACTERS: Final = 65_536


class ExtractRefused(ValueError):
    """The extract cannot be trusted: changed, truncated, or not signed by its service."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line of an extract, covered by the signature in the last line."""

    service: str
    taken_at: datetime
    reads: tuple[str, ...]
    state: str


def load_extract(conn: sqlite3.Connection, path: Path, keys: Mapping[str, KeySet], *, now: datetime) -> Header:
    """Load one service's extract and verify its signature. Raises ExtractRefused, or BadRecord."""
    with _lines(path) as lines:
        header = _header(next(lines, ""), path)
        digest, state, rows = hashlib.sha256(), hashlib.sha256(), 0
        digest.update(header["line"].encode())
        for line in lines:
            fields = fields_of(line)
            if fields["record"] == "end":
                break
            digest.update(line.encode())
            state.update(line.encode())
            rows += 1
            tables.add(conn, header["service"], fields)
        else:
            raise ExtractRefused(f"{path.name}: it has no end")
    service = str(header["service"])
    said = _proven(str(fields.get("signature")), keys.get(service), service, path, now=now)
    if (said["sub"], said.get("rows"), said.get("state")) != (digest.hexdigest(), rows, state.hexdigest()):
        raise ExtractRefused(f"{path.name}: it was changed after it was signed")
    found = Header(
        service=service,
        taken_at=datetime.fromisoformat(header["taken_at"]),
        reads=tuple(header["reads"]),
        state=state.hexdigest(),
    )
    conn.execute("INSERT INTO extract VALUES (?, ?, ?, 0)", (service, found.taken_at.isoformat(), found.state))
    conn.executemany("INSERT INTO reads VALUES (?, ?)", [(service, topic) for topic in found.reads])
    return found


def load_earlier_heads(conn: sqlite3.Connection, path: Path, keys: Mapping[str, KeySet], *, now: datetime) -> None:
    """Load the last audit head of an earlier extract: a log that was cut since then lacks it."""
    with sqlite3.connect(":memory:") as aside:
        tables.create(aside)
        service = load_extract(aside, path, keys, now=now).service
        head = aside.execute("SELECT head FROM seal ORDER BY id DESC LIMIT 1").fetchone()
    if head is not None:
        conn.execute("INSERT INTO earlier_seal VALUES (?, ?)", (service, head[0]))


def load_records(conn: sqlite3.Connection, path: Path, name: str) -> datetime:
    """Load a file that is no service's extract. Returns the time when it was made. Raises BadRecord."""
    with _lines(path) as lines:
        first = fields_of(next(lines, ""))
        if first["record"] != "taken" or not isinstance(first.get("at"), str):
            raise BadRecord(f"{path.name}: its first line does not say when it was taken")
        for line in lines:
            tables.add_other(conn, name, fields_of(line))
    return datetime.fromisoformat(first["at"])


def write_records(path: Path, name: str, records: Iterable[Mapping[str, Any]], *, now: datetime) -> None:
    """Write a file of records; it appears once it is complete."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"record": "taken", "at": now.isoformat()}) + "\n")
        for each in records:
            file.write(json.dumps({"record": name, **each}) + "\n")
    unfinished.replace(path)


def keys_of(folder: Path) -> dict[str, KeySet]:
    """Return the public audit keys of all services, from SERVICE-audit-jwks.json in this folder."""
    suffix = "-audit-jwks.json"
    return {path.name.removesuffix(suffix): KeySet.load(path) for path in sorted(folder.glob(f"*{suffix}"))}


def mark_stale(conn: sqlite3.Connection, now: datetime, longest: timedelta) -> None:
    """Mark the extracts that are older than `longest`: yesterday's extract proves nothing about today."""
    conn.execute(
        "UPDATE extract SET stale = 1 WHERE julianday(taken_at) < julianday(?)", ((now - longest).isoformat(),)
    )


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    def read() -> Iterator[str]:
        while line := file.readline(_MAX_LINE_CHARACTERS):
            if not line.endswith("\n"):
                raise BadRecord(f"{path.name}: a line is too long, or has no end")
            yield line

    with path.open(encoding="utf-8", newline="\n") as file:
        yield read()


def _header(line: str, path: Path) -> dict[str, Any]:
    fields = dict(fields_of(line)) if line else {}
    if fields.get("record") != "extract" or fields.get("format") != FORMAT:
        raise ExtractRefused(f"{path.name}: it is no extract of format {FORMAT}")
    return {**fields, "line": line}


def _proven(signature: str, keys: KeySet | None, service: str, path: Path, *, now: datetime) -> dict[str, Any]:
    if keys is None:
        raise ExtractRefused(f"{path.name}: there is no key of {service}")
    try:
        return verify(signature, kind=TokenKind.EXTRACT, keys=keys, now=now, issuer=service)
    except TokenRefused as refused:
        raise ExtractRefused(f"{path.name}: it is not signed by {service}") from refused
