"""Every decision has a number of its own, and its title is the decision."""

from pathlib import Path

ADR = Path(__file__).parents[2] / "docs" / "adr"


def test_every_decision_has_a_number_of_its_own_and_a_title() -> None:
    files = sorted(ADR.glob("[0-9]*.md"))
    assert files
    assert len({path.name[:4] for path in files}) == len(files), "two decisions with one number"
    assert [path.name for path in files if not path.read_text().startswith(f"# {path.name[:4]} ")] == []
