"""The feed's published keys, asked for again every five minutes, and when an event's signature does not hold."""

import time
from collections.abc import Callable
from typing import Final

from shared.events.base import Envelope
from shared.messaging import feed_signature
from shared.messaging.feed_signature import SignatureWrong
from shared.security.tokens import KeySet

# A forger must not make us ask all the time.
_AGAIN_SECONDS: Final = 60.0
# As long as the guide says that readers keep the set: a new key is known before it signs, one taken back no longer.
_KEPT_SECONDS: Final = 300.0


class KeyRing:
    """Verifies signatures. `load` gets the published set; what it raises comes through."""

    def __init__(self, load: Callable[[], KeySet], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._asked = float("-inf")
        self._keys, self._loaded = load(), clock()

    def verify(self, event: Envelope) -> str | None:
        """Why the event's signature does not hold, if it does not."""
        if self._clock() - self._loaded >= _KEPT_SECONDS:
            self._keys, self._loaded = self._load(), self._clock()
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return self._again(event, str(wrong))
        return None

    def _again(self, event: Envelope, why: str) -> str | None:
        if self._clock() - self._asked < _AGAIN_SECONDS:
            return why
        self._keys, self._loaded = self._load(), self._clock()
        self._asked = self._loaded
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return str(wrong)
        return None
