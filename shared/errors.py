"""The three kinds of failure that the plumbing tells apart; everything else is a fault in our code."""


class Refused(Exception):
    """Can never work: over HTTP a 4xx problem, for an event the reason why it is held."""

    reason: str = "refused"


class Unavailable(Exception):
    """Something we depend on is down: over HTTP a 503, for an event or a due row a later try."""

    reason: str = "unavailable"


class Ignored(Exception):
    """An event that no longer changes anything here, such as a posting after a cancellation.

    Raised by a handler before or after it wrote: what it wrote is undone, the event counts as seen.
    """


class Undecodable(Refused):
    """A record that is no event, or not one that this version of the code knows."""

    reason = "undecodable"
