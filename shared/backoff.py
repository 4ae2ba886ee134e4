"""Exponential backoff: the delay before the next attempt, for every loop and every row."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

# A number of attempts of years must not overflow.
_MAX_DOUBLINGS: Final = 20


@dataclass(frozen=True)
class Backoff:
    """Delays that double from `first` with each attempt, capped at `longest`.

    Without a random part: rows that failed together are claimed one by one, so they do not rush at a dependency.
    """

    first: timedelta
    longest: timedelta

    def delay(self, attempts: int) -> timedelta:
        """Return the delay after this number of attempts: `first` after none."""
        return min(self.longest, self.first * (1 << min(attempts, _MAX_DOUBLINGS)))

    def seconds(self, attempts: int) -> float:
        """Return the delay in seconds."""
        return self.delay(attempts).total_seconds()
