"""Cache of checked CRLs, limited by their size."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")
# Digests of a list and of its issuer's certificate.
Key = tuple[bytes, bytes]


class CRLCache(Generic[T]):
    """Cache of checked lists; the least recently used are dropped when their total size exceeds the limit."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[int, T]] = OrderedDict()

    def get(self, key: Key) -> T | None:
        """Return a cached list, and mark it as recently used."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][1]

    def put(self, key: Key, size: int, checked: T) -> None:
        """Cache a list, if it fits at all."""
        with self._lock:
            if key in self._kept or size > self._max_bytes:
                return
            self._kept[key] = (size, checked)
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, (dropped, _) = self._kept.popitem(last=False)
                self._bytes -= dropped
