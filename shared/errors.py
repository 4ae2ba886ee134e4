"""The three kinds of failure that the plumbing tells apart; everything else is a fault in our code."""

from typing import Any, Self


class _Portable(Exception):
    """Exception that can be pickled whatever its constructor takes: a worker process raises it here."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)

    @classmethod
    def restored(cls, args: tuple[Any, ...], state: dict[str, Any]) -> Self:
        """Return the exception as it was, without its constructor."""
        made = cls.__new__(cls, *args)
        made.__dict__ |= state
        return made


def _restored(kind: type[_Portable], args: tuple[Any, ...], state: dict[str, Any]) -> _Portable:
    return kind.restored(args, state)


class Refused(_Portable):
    """Can never work: over HTTP a 4xx problem, for an event the reason why it is held."""

    reason: str = "refused"


class Unavailable(_Portable):
    """Something we depend on is down: over HTTP a 503, for an event or a due row a later try."""

    reason: str = "unavailable"


class Ignored(Exception):
    """An event that no longer changes anything here, such as a posting after a cancellation.

    Raised by a handler before or after it wrote: what it wrote is undone, the event counts as seen.
    """


class Undecodable(Refused):
    """A record that is no event, or not one that this version of the code knows."""

    reason = "undecodable"
