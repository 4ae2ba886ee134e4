"""Reports of operator commands, as a table or as one row."""

from collections.abc import Mapping, Sequence

from shared.runtime.operator_commands import Report


def rows_of(report: Report) -> Sequence[Mapping[str, object]]:
    """Return the rows of a report that is a table."""
    assert not isinstance(report.values, Mapping)
    return report.values


def row_of(report: Report) -> Mapping[str, object]:
    """Return the row of a report that has one, in a table or alone."""
    if isinstance(report.values, Mapping):
        return report.values
    [row] = report.values
    return row
