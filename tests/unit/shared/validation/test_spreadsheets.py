"""Cells of CSV files: text that a spreadsheet program could evaluate is escaped."""

import csv
import io
import uuid

import pytest

from services.mailing import manifest
from services.mailing.print_store import Line
from shared.validation.spreadsheets import text_cell

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\rx",
    "＝1+1",
    "﹦1",
    " =1",
    "\u00a0=1",
    "\u3000＝1",
    "\u200b@x",
    "﹣1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_in_any_form_is_escaped(text: str) -> None:
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "陳大文", "1+1", "R-7KQ2-M8XD", " x=1", "a.example.hk", "（香港）"])
def test_ordinary_text_is_written_as_it_is(text: str) -> None:
    assert text_cell(text) == text


def test_manifest_holds_no_formula() -> None:
    lines = [
        Line(envelope_id=uuid.UUID(int=n), reference="R-1", server_name="a.hk", recipient=each, file_sha256="00")
        for n, each in enumerate(FORMULAS)
    ]
    rows = csv.DictReader(io.StringIO(manifest.write(lines).decode("utf-8-sig"), newline=""))
    assert [row["recipient"] for row in rows] == [f"'{each}" for each in FORMULAS]
