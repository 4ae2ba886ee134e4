"""Keyset pagination of operators' lists: a page begins after the key of the previous page's last row.

Rows that come or go while somebody turns the pages repeat no other row and hide none, as they would with OFFSET.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")


def cut(found: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """Return the page of up to `limit + 1` found rows, and its last row if another page follows."""
    shown = [*found[:limit]]
    return shown, shown[-1] if len(found) > limit else None


@dataclass(frozen=True, kw_only=True)
class Keyset:
    """Order of a list whose pages begin after a row: the columns of its key, the last one unique."""

    columns: tuple[str, ...]
    descending: bool = False

    @property
    def order(self) -> str:
        """The ORDER BY clause."""
        direction = "DESC" if self.descending else "ASC"
        return "ORDER BY " + ", ".join(f"{column} {direction}" for column in self.columns)

    def follows(self, row: str) -> str:
        """Return the condition for what comes after a row, given as `table AS alias WHERE id = …`.

        Nothing comes after a row that was deleted: use it where rows stay, and keep the whole key where they go.
        """
        key, beyond = ", ".join(self.columns), "<" if self.descending else ">"
        return f"({key}) {beyond} (SELECT {key} FROM {row})"
