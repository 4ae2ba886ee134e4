"""Key ring of the feed: reloads the published keys every five minutes, and when a signature does not verify."""

import time
from collections.abc import Callable
from typing import Final

from shared.events.base import Envelope
from shared.messaging import feed_signature
from shared.messaging.feed_signature import SignatureWrong
from shared.security.tokens import KeySet

# Limits reloads that forged signatures cause.
_RETRY_DELAY_SECONDS: Final = 60.0
# The time for which the feed's guide lets readers keep the set: a new key is known before it signs.
_KEPT_SECONDS: Final = 300.0


class KeyRing:
    """Verifier of signatures. `load` gets the published set; its exceptions pass through."""

    def __init__(self, load: Callable[[], KeySet], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._asked = float("-inf")
        self._keys, self._loaded = load(), clock()

    def verify(self, event: Envelope) -> str | None:
        """Return why the event's signature does not verify; None if it does."""
        if self._clock() - self._loaded >= _KEPT_SECONDS:
            self._keys, self._loaded = self._load(), self._clock()
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return self._again(event, str(wrong))
        return None

    def _again(self, event: Envelope, why: str) -> str | None:
        if self._clock() - self._asked < _RETRY_DELAY_SECONDS:
            return why
        self._keys, self._loaded = self._load(), self._clock()
        self._asked = self._loaded
        try:
            feed_signature.verify(event, self._keys)
        except SignatureWrong as wrong:
            return str(wrong)
        return None
