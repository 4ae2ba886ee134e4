"""The three kinds of failure that messaging and web distinguish; everything else is a fault in our code."""

from typing import Any, Self


class _Portable(Exception):
    """Exception that can be pickled whatever its constructor takes: a worker process raises it in its caller."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)

    @classmethod
    def restored(cls, args: tuple[Any, ...], state: dict[str, Any]) -> Self:
        """Return the exception as it was raised, without calling its constructor."""
        made = cls.__new__(cls, *args)
        made.__dict__ |= state
        return made


def _restored(kind: type[_Portable], args: tuple[Any, ...], state: dict[str, Any]) -> _Portable:
    return kind.restored(args, state)


class Refused(_Portable):
    """Permanent refusal: over HTTP a 4xx problem; an event is held with its reason."""

    reason: str = "refused"


class Unavailable(_Portable):
    """A dependency is unavailable. HTTP 503; events and tasks are retried with backoff.

    An event is held for it only if it fails alone, and retried by itself then.
    """

    reason: str = "unavailable"


class Ignored(Exception):
    """An event that changes nothing in the present state, such as a posting after a cancellation.

    Raised by a handler; its writes are rolled back, and the event counts as applied.
    """


class Undecodable(Refused):
    """A record that is not an event, or not one that this version of the code knows."""

    reason = "undecodable"
