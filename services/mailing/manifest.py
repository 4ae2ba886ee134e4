"""Manifest of a posting batch: the recipient of each letter, and a column for the post's number."""

import csv
import io
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from services.mailing.domain import registered_number
from services.mailing.refusals import PostingRefused
from shared.validation import texts
from shared.validation.spreadsheets import text_cell

NAME: Final = "manifest.csv"
_COLUMNS: Final = ("envelope_id", "reference", "server_name", "recipient", "file", "sha256", "registered_number")
_BATCH: Final = re.compile(r"batch-([0-9]{6,18})")


class Line(Protocol):
    """A letter of the batch."""

    @property
    def envelope_id(self) -> uuid.UUID: ...
    @property
    def reference(self) -> str: ...
    @property
    def server_name(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def file_sha256(self) -> str: ...


def batch_name(number: int) -> str:
    """Return the name of a batch, as its folder and people use it."""
    return f"batch-{number:06}"


def batch_number(name: str) -> int:
    """Return the number in a batch's name. Raises PostingRefused."""
    if (match := _BATCH.fullmatch(name)) is None:
        raise PostingRefused(f"{name!r} is no batch: it looks like batch-000001")
    return int(match[1])


def folder(posting: Path, number: int) -> Path:
    """Return the folder of a batch's letters."""
    return posting / batch_name(number)


def file_name(envelope_id: uuid.UUID) -> str:
    """Return the name of a letter's file in its batch's folder."""
    return f"{envelope_id}.pdf"


def write(lines: Sequence[Line]) -> bytes:
    """Return the manifest as CSV that spreadsheet programs read as UTF-8; it contains no PIN."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for line in lines:
        named = (line.reference, line.server_name, line.recipient)
        writer.writerow(
            [str(line.envelope_id), *map(text_cell, named), file_name(line.envelope_id), line.file_sha256, ""]
        )
    return text.getvalue().encode("utf-8-sig")


def read(content: bytes) -> Mapping[uuid.UUID, str]:
    """Return the registered numbers that were filled in, by envelope. Raises PostingRefused with the line at fault."""
    try:
        rows = csv.DictReader(io.StringIO(texts.decode(content), newline=""), strict=True)
        if missing := {"envelope_id", "registered_number"} - set(rows.fieldnames or ()):
            raise PostingRefused(f"the manifest has no column {', '.join(sorted(missing))}")
        filled = [(rows.line_num, row["envelope_id"] or "", row["registered_number"] or "") for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PostingRefused(f"the manifest is no CSV in UTF-8: {error}") from error
    numbers: dict[uuid.UUID, str] = {}
    for line, envelope, number in filled:
        if number.strip():
            _take(numbers, line, envelope, number)
    return numbers


def _take(numbers: dict[uuid.UUID, str], line: int, envelope: str, number: str) -> None:
    try:
        envelope_id = uuid.UUID(envelope.strip())
        registered = registered_number(number)
    except (ValueError, PostingRefused) as error:
        raise PostingRefused(f"line {line}: {error}") from error
    if envelope_id in numbers or registered in numbers.values():
        raise PostingRefused(f"line {line}: an envelope or number that a line above has too")
    numbers[envelope_id] = registered
