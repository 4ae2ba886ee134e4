"""Wait for the next event: one thread polls for all waiting requests, so that waiting needs no queries of its own."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import structlog
from prometheus_client import Gauge

from services.issuance.feed.store import Newest
from shared.errors import Refused, Unavailable
from shared.tx import Clock, utc_now

log = structlog.get_logger()

POLL_INTERVAL_SECONDS: Final = 0.02
# Poll interval without waiting requests: only the gauges are updated.
IDLE_SECONDS: Final = 1.0
RETRY_DELAY_SECONDS: Final = 1.0
# Simultaneous requests of one certificate; one is enough, the others allow for overlapping restarts.
MAX_CONCURRENT_REQUESTS: Final = 4

POSITION = Gauge("feed_head_position", "Last position of the feed")
AGE = Gauge("feed_newest_event_age_seconds", "Age of the feed's newest event, 0 if it has none")
WAITING = Gauge("feed_waiting_requests", "Waiting long polls")


class TooManyRequests(Refused):
    """The reader has too many simultaneous requests."""

    reason = "too-many-requests"


class TooManyWaiting(Unavailable):
    """No further request can wait."""

    reason = "too-many-waiting"


class Head:
    """The head of the feed as the watcher thread sees it, and the requests that wait for it to move."""

    def __init__(self, look: Callable[[], Newest], *, places: int, clock: Clock = utc_now) -> None:
        self._look = look
        self._places = places
        lock = threading.Lock()
        self._moved, self._wanted = threading.Condition(lock), threading.Condition(lock)
        self._newest = Newest(position=0, time=None)
        self._waiting = 0
        self._asking: Counter[str] = Counter()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="feed-head", daemon=True)
        AGE.set_function(lambda: self._age(clock))

    def start(self) -> None:
        """Start the watcher thread."""
        self._thread.start()

    def close(self) -> None:
        """Wake all waiting requests and stop the watcher thread."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()
            self._wanted.notify_all()

    @contextmanager
    def place_of(self, certificate_sha256: str) -> Iterator[None]:
        """Count a certificate's request while it is answered. Raises TooManyRequests."""
        with self._moved:
            if self._asking[certificate_sha256] >= MAX_CONCURRENT_REQUESTS:
                raise TooManyRequests(f"{MAX_CONCURRENT_REQUESTS} requests of yours are open")
            self._asking[certificate_sha256] += 1
        try:
            yield
        finally:
            with self._moved:
                self._asking[certificate_sha256] -= 1
                self._asking += Counter()  # drops those at zero

    def wait_past(self, position: int, seconds: float) -> None:
        """Wait until the head is past this position, or the time is over. Raises TooManyWaiting."""
        with self._moved:
            if self._waiting >= self._places:
                raise TooManyWaiting(f"{self._places} wait already")
            self._waiting += 1
            WAITING.set(self._waiting)
            self._wanted.notify()
            try:
                self._moved.wait_for(lambda: self._closed or self._newest.position > position, seconds)
            finally:
                self._waiting -= 1
                WAITING.set(self._waiting)

    def _watch(self) -> None:
        while not self._closed:
            pause = POLL_INTERVAL_SECONDS
            try:
                newest = self._look()
            except psycopg.Error as error:
                log.warning("feed.database_failed", error=f"{type(error).__name__}: {error}")
                pause = RETRY_DELAY_SECONDS
            else:
                POSITION.set(newest.position)
                self._seen(newest)
            self._rest(pause)

    def _seen(self, newest: Newest) -> None:
        with self._moved:
            if newest != self._newest:
                self._newest = newest
                self._moved.notify_all()

    def _rest(self, seconds: float) -> None:
        """Sleep for `seconds`, or longer while no request waits."""
        until = time.monotonic() + seconds
        with self._wanted:
            if self._waiting == 0:
                self._wanted.wait_for(lambda: self._closed or self._waiting > 0, IDLE_SECONDS)
        time.sleep(max(0.0, until - time.monotonic()))

    def _age(self, clock: Clock) -> float:
        newest = self._newest.time
        return 0.0 if newest is None else (clock() - newest).total_seconds()
