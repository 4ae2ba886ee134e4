"""Suggested window in which a certificate is to be replaced (RFC 9773): it begins with the first reminder."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

# A third of the validity is left when the window begins, a sixth when it ends. RFC 9773 leaves the choice to the CA.
_BEGINS: Final = 3
_ENDS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window, from its start to its end; clients choose a random time in it."""

    start: datetime
    end: datetime


def suggested_window(not_before: datetime, not_after: datetime, revoked_at: datetime | None) -> Window:
    """Return the suggested window of a certificate; that of a revoked one is over: replace it at once."""
    lifetime = not_after - not_before
    if revoked_at is not None:
        return Window(start=not_before, end=min(revoked_at, not_after))
    start, end = not_after - lifetime / _BEGINS, not_after - lifetime / _ENDS
    return Window(start=start.replace(microsecond=0), end=end.replace(microsecond=0))
