"""The feed's published keys, asked for again when an event is signed with one that is not known."""

import time
from collections.abc import Callable
from typing import Final

from shared import feed_signature
from shared.events.base import Envelope
from shared.feed_signature import SignatureWrong
from shared.tokens import KeySet

# A forger must not make us ask all the time.
_AGAIN_SECONDS: Final = 60.0


class KeyRing:
    """Verifies signatures. `load` gets the published set; what it raises comes through."""

    def __init__(self, load: Callable[[], KeySet], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._keys = load()
        self._asked = float("-inf")

    def verify(self, event: Envelope) -> str | None:
        """Why the event's signature does not hold, if it does not."""
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return self._again(event, str(wrong))
        return None

    def _again(self, event: Envelope, why: str) -> str | None:
        if self._clock() - self._asked < _AGAIN_SECONDS:
            return why
        self._keys = self._load()
        self._asked = self._clock()
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return str(wrong)
        return None
