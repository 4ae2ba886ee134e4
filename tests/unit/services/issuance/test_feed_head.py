"""Waiting at the feed's head: one look for all who wait, and nobody waits for ever."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from prometheus_client import REGISTRY

from services.issuance.feed.head import (
    MAX_CONCURRENT_REQUESTS,
    POLL_INTERVAL_SECONDS,
    Head,
    TooManyRequests,
    TooManyWaiting,
)
from services.issuance.feed.store import Newest
from tests.support.engines import wait_until

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class Feed:
    """A database that counts who looks."""

    def __init__(self) -> None:
        self.position = 5
        self.looks = 0
        self.away = False

    def look(self) -> Newest:
        self.looks += 1
        if self.away:
            raise psycopg.OperationalError("away")
        return Newest(position=self.position, time=NOW)


@contextmanager
def watched(feed: Feed, places: int = 100) -> Iterator[Head]:
    head = Head(feed.look, places=places, clock=lambda: NOW + timedelta(seconds=7))
    head.start()
    try:
        yield head
    finally:
        head.close()


def waiting(head: Head, count: int, position: int, seconds: float) -> list[threading.Thread]:
    threads = [threading.Thread(target=head.wait_past, args=(position, seconds)) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: list[threading.Thread]) -> bool:
    return not any(thread.is_alive() for thread in threads)


def test_fifty_waiting_requests_cost_one_query() -> None:
    feed = Feed()
    with watched(feed) as head:
        before = feed.looks
        threads = waiting(head, 50, position=5, seconds=1.0)
        for thread in threads:
            thread.join(10)
        assert feed.looks - before <= 1.5 / POLL_INTERVAL_SECONDS


def test_head_is_queried_rarely_without_waiting_requests() -> None:
    feed = Feed()
    with watched(feed):
        time.sleep(1.5)
        assert feed.looks <= 3


def test_new_head_wakes_exactly_the_requests_behind_it() -> None:
    feed = Feed()
    with watched(feed) as head:
        behind, beyond = waiting(head, 3, position=5, seconds=20), waiting(head, 2, position=6, seconds=20)
        time.sleep(0.2)
        assert not ended(behind[:1])
        feed.position = 6
        wait_until(lambda: ended(behind), limit=5, what="those behind it go on")
        assert all(thread.is_alive() for thread in beyond)
        feed.position = 7
        wait_until(lambda: ended(beyond), limit=5, what="the others too")


def test_request_behind_the_head_does_not_wait() -> None:
    feed = Feed()
    with watched(feed) as head:
        begun = time.monotonic()
        head.wait_past(4, 20)
        assert time.monotonic() - begun < 5


def test_close_wakes_all_waiting_requests() -> None:
    feed = Feed()
    with watched(feed) as head:
        threads = waiting(head, 5, position=5, seconds=60)
        time.sleep(0.1)
        head.close()
        wait_until(lambda: ended(threads), limit=5, what="they go")


def test_database_is_queried_again_after_an_outage() -> None:
    feed = Feed()
    feed.away = True
    with watched(feed) as head:
        threads = waiting(head, 1, position=5, seconds=20)
        time.sleep(0.1)
        feed.away, feed.position = False, 6
        wait_until(lambda: ended(threads), limit=5, what="it is seen")


def test_waiting_slots_are_counted_and_released() -> None:
    feed = Feed()
    with watched(feed, places=2) as head:
        threads = waiting(head, 2, position=5, seconds=0.5)
        time.sleep(0.2)
        with pytest.raises(TooManyWaiting):
            head.wait_past(5, 0.1)
        for thread in threads:
            thread.join(5)
        head.wait_past(5, 0.01)


def test_concurrent_requests_of_one_certificate_are_limited() -> None:
    head = Head(Feed().look, places=1)

    def deep(levels: int) -> None:
        if levels:
            with head.place_of("a"):
                deep(levels - 1)

    deep(MAX_CONCURRENT_REQUESTS)
    with pytest.raises(TooManyRequests):
        deep(MAX_CONCURRENT_REQUESTS + 1)
    deep(MAX_CONCURRENT_REQUESTS)
    with head.place_of("b"):
        deep(MAX_CONCURRENT_REQUESTS)


def test_age_of_the_newest_event_grows() -> None:
    feed = Feed()
    with watched(feed):
        name = "feed_newest_event_age_seconds"
        wait_until(lambda: feed.looks > 0 and REGISTRY.get_sample_value(name) == 7, limit=5, what="it was seen")
