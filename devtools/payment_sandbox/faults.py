"""Faults on demand for the next calls of an operation."""

import sqlite3
from dataclasses import dataclass
from typing import Final

# operation -> the ways in which it can go wrong
#   error: 500 and nothing was done · hang: no answer for a while, nothing was done
#   lost: done, but the connection is cut before the answer · wrong-amount: the session is opened for more
#   pending, failed, canceled, under-review: the refund is made in that state (the last is one that nobody documents)
REFUND_STATES: Final = ("pending", "failed", "canceled", "under-review")
KINDS: Final = {
    "create": ("error", "hang", "lost", "wrong-amount"),
    "retrieve": ("error", "hang"),
    "cancel": ("error", "hang", "lost"),
    "capture": ("error", "hang", "lost"),
    "refund": ("error", "hang", "lost", *REFUND_STATES),
    "webhook": ("lost", "doubled", "delayed"),
}


@dataclass(frozen=True)
class Fault:
    """The way in which the next call fails."""

    kind: str
    seconds: float


def take(conn: sqlite3.Connection, operation: str) -> Fault | None:
    """Return the fault ordered for this call, if there is one, and consume it."""
    row = conn.execute(
        "UPDATE faults SET remaining = remaining - 1 WHERE id ="
        " (SELECT id FROM faults WHERE operation = ? AND remaining > 0 ORDER BY id LIMIT 1) RETURNING kind, seconds",
        (operation,),
    ).fetchone()
    return None if row is None else Fault(row["kind"], row["seconds"])
