"""Decisions: each has a number of its own, its title is the decision, and the index lists it."""

import re
from pathlib import Path

ADR = Path(__file__).parents[2] / "docs" / "adr"
FILES = sorted(ADR.glob("[0-9]*.md"))
INDEX = (ADR / "README.md").read_text("utf-8")
ROW = re.compile(r"\| \[(\d{4})\]\(([^)]+)\) \| (.+) \| (\d{4}-\d\d-\d\d) \| (accepted|superseded by \d{4}) \|")


def test_every_decision_has_a_unique_number_and_a_title() -> None:
    assert FILES
    assert len({path.name[:4] for path in FILES}) == len(FILES), "two decisions with one number"
    headings = {path.name: path.read_text("utf-8").partition("\n")[0] for path in FILES}
    assert [name for name, heading in headings.items() if not re.fullmatch(rf"# {name[:4]} \S.*[^.]", heading)] == []


def test_index_lists_every_decision_by_number_title_date_and_status() -> None:
    rows = [line for line in INDEX.splitlines() if line.startswith("| [")]
    found = [match.groups() for row in rows if (match := ROW.fullmatch(row))]
    assert len(found) == len(rows), "a row of another form"
    titles = [(path.name[:4], path.name, path.read_text("utf-8").partition("\n")[0][7:]) for path in FILES]
    assert [(number, name, title) for number, name, title, _, _ in found] == titles


def test_index_lists_the_unused_numbers() -> None:
    numbers = {int(path.name[:4]) for path in FILES}
    unused = [f"{number:04}" for number in range(1, max(numbers)) if number not in numbers]
    sentence = next(line for line in INDEX.splitlines() if line.startswith("Numbers never used:"))
    assert re.findall(r"\d{4}", sentence) == unused
