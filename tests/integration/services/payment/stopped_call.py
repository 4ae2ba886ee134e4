"""A call of the provider that a test holds for as long as it likes, however busy the machine is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from services.payment.provider_adapter import ProviderAdapter

_BATCH_TIMEOUT_SECONDS: Final = 30


class StoppedCall:
    """The first call of an adapter's method: it stops before it asks the provider, until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self._begun, self._released = threading.Event(), threading.Event()
        original = getattr(ProviderAdapter, method)

        def call(*args: Any) -> Any:
            if not self._begun.is_set():
                self._begun.set()
                assert self._released.wait(_BATCH_TIMEOUT_SECONDS)
            return original(*args)

        monkeypatch.setattr(ProviderAdapter, method, call)

    def wait(self) -> None:
        """Wait until a worker stands in the call."""
        assert self._begun.wait(_BATCH_TIMEOUT_SECONDS)

    def release(self) -> None:
        """Let the call go on."""
        self._released.set()

    def race(self, work: Callable[[], bool]) -> list[bool]:
        """Let four workers start at once and a fifth during the call. Returns which of them had something to do."""
        with ThreadPoolExecutor(4) as workers:
            racing = [workers.submit(work) for _ in range(4)]
            self.wait()
            late = work()
            self.release()
            return sorted([late, *(each.result() for each in racing)])
