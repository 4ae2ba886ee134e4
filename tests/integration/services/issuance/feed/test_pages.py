"""Pages of the feed: the topic's very bytes, by position, from anywhere to the head; and the head itself."""

import base64
import json
import threading
import time
import uuid

import pytest
from prometheus_client import generate_latest

from services.issuance.feed import api
from services.issuance.feed.head import MAX_CONCURRENT_REQUESTS
from shared.events.issuance import IssuanceRefused, IssuanceWithheld
from shared.messaging import codec, outbox
from shared.tx import transaction
from shared.vocabulary import ItemId, RenewalId
from tests.integration.services.issuance.feed.conftest import Client, Feeding, client
from tests.support.engines import wait_until


def withheld(count: int) -> list[IssuanceWithheld]:
    return [IssuanceWithheld(renewal_id=RenewalId(uuid.uuid4())) for _ in range(count)]


def refused(size: int) -> IssuanceRefused:
    return IssuanceRefused(renewal_id=RenewalId(uuid.uuid4()), item_id=ItemId(uuid.uuid4()), reason="x" * size)


def read(feeding: Feeding, who: Client, **query: object) -> list[int]:
    answer = feeding.read(who, **query)
    assert answer.status_code == 200, answer.text
    return [int(event["position"]) for event in parsed(answer.data)]


def parsed(data: bytes) -> list[dict[str, str]]:
    batch: list[dict[str, str]] = json.loads(data)
    return batch


def test_page_carries_each_event_as_its_record_does(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(3), refused(10))
    answer = feeding.read(reader)
    assert answer.content_type == "application/cloudevents-batch+json"
    assert answer.headers["Feed-Head"] == "4"
    batch = parsed(answer.data)
    assert len(batch) == 4
    for found, stored in zip(batch, feeding.stored(), strict=True):
        assert base64.b64decode(found.pop("data_base64")) == stored.data
        headers = {name.removeprefix("ce_"): value.decode() for name, value in codec.to_headers(stored)}
        headers["datacontenttype"] = headers.pop("content-type")
        assert found == headers


def test_pages_lead_from_the_beginning_to_the_head(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(7))
    found: list[int] = []
    link = "/issuance/v1/issuance-events?limit=3"
    while True:
        answer = feeding.http.get(link, headers=reader.headers)
        page = [int(event["position"]) for event in parsed(answer.data)]
        if not page:
            break
        found += page
        link = answer.headers["Link"].split(">")[0].removeprefix("<")
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert "after=7" in link


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [])])
def test_any_position_can_be_replayed(feeding: Feeding, reader: Client, after: int, expected: list[int]) -> None:
    feeding.announce(*withheld(3))
    for _ in range(2):
        assert read(feeding, reader, after=after) == expected


def test_empty_feed_has_an_empty_page(feeding: Feeding, reader: Client) -> None:
    answer = feeding.read(reader)
    assert (answer.status_code, answer.data, answer.headers["Feed-Head"]) == (200, b"[]", "0")


def test_page_ends_with_the_event_that_makes_it_large(feeding: Feeding, reader: Client) -> None:
    half = api.PAGE_BYTES // 2
    feeding.announce(refused(half), refused(half), refused(half), refused(10))
    assert read(feeding, reader, limit=100) == [1, 2]
    assert read(feeding, reader, after=2, limit=100) == [3, 4]


def test_unstamped_event_is_not_served(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(1))
    with transaction(feeding.pool) as tx:
        outbox.add(tx, withheld(1)[0])
    assert read(feeding, reader) == [1]


def test_position_ahead_of_the_head_is_a_problem_with_the_last_position(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(2))
    for wait in (0, 20):
        begun = time.monotonic()
        answer = feeding.read(reader, after=3, wait=wait)
        assert time.monotonic() - begun < 5
        assert (answer.status_code, answer.json) == (
            409,
            {
                "type": "urn:ecert:problem:position-ahead",
                "title": "Position is beyond the feed's head",
                "status": 409,
                "detail": "position 3 was asked for, the last one is 2",
                "head": 2,
                "request_id": answer.headers["X-Request-Id"],
            },
        )


NOWHERE = (
    *("after=-1", "after=x", "after=", "after=1.0", "after=+1", "after=%201", "after=01", "after=1e3", "after=1_0"),
    *("after=%D9%A1", "after=9223372036854775808", "after=1%00", "after=1&after=2", "after[]=1", "before=1"),
    *("limit=0", "limit=1001", "limit=all", "wait=26", "wait=-1", "wait=0.5", "wait=1&wait=1", "After=1"),
)


def test_unknown_cursor_is_a_problem(feeding: Feeding, reader: Client) -> None:
    for query in NOWHERE:
        answer = feeding.http.get(f"/issuance/v1/issuance-events?{query}", headers=reader.headers)
        expected = (400, "malformed-request") if "%00" in query else (422, "invalid-request")
        assert answer.json is not None, query
        assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == expected, query
        assert answer.content_type == "application/problem+json"


def test_long_poll_is_answered_when_an_event_comes(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(1))
    came: list[tuple[float, list[int]]] = []

    def poll() -> None:
        found = read(feeding, reader, after=1, wait=20)
        came.append((time.monotonic(), found))

    waiting = threading.Thread(target=poll)
    waiting.start()
    feeding.await_waiting(1)
    assert came == []
    feeding.announce(*withheld(1))
    announced = time.monotonic()
    waiting.join(10)
    ((at, found),) = came
    assert found == [2]
    assert at - announced < 2


def test_long_poll_without_events_is_an_empty_page_after_its_timeout(feeding: Feeding, reader: Client) -> None:
    begun = time.monotonic()
    assert read(feeding, reader, wait=1) == []
    assert 0.9 < time.monotonic() - begun < 5


def test_one_reader_cannot_occupy_all_waiting_slots(feeding: Feeding, reader: Client) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(feeding.read(reader, wait=3).status_code))
        for _ in range(MAX_CONCURRENT_REQUESTS)
    ]
    for thread in threads:
        thread.start()
    feeding.await_waiting(MAX_CONCURRENT_REQUESTS)
    answer = feeding.read(reader)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert answer.json is not None
    assert answer.json["type"] == "urn:ecert:problem:too-many-requests"
    for thread in threads:
        thread.join(10)
    assert answers == [200] * MAX_CONCURRENT_REQUESTS
    assert feeding.read(reader).status_code == 200


def test_pages_are_served_when_all_waiting_slots_are_occupied(feeding: Feeding, reader: Client) -> None:
    other = client("another")
    feeding.register(other, name="another")
    threads = [threading.Thread(target=feeding.read, args=(reader,), kwargs={"wait": 3}) for _ in range(4)]
    for thread in threads:
        thread.start()
    feeding.await_waiting(4)
    answer = feeding.read(other, wait=3)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json is not None
    assert answer.json["type"] == "urn:ecert:problem:too-many-waiting"
    feeding.announce(*withheld(1))
    assert read(feeding, other) == [1]
    for thread in threads:
        thread.join(10)


def test_head_shows_the_last_position(feeding: Feeding, reader: Client) -> None:
    empty = feeding.http.get("/issuance/v1/feed-head", headers=reader.headers)
    assert empty.json == {"position": 0, "time": None}
    feeding.announce(*withheld(2))
    full = feeding.http.get("/issuance/v1/feed-head", headers=reader.headers).json
    assert full is not None
    assert (full["position"], full["time"]) == (2, feeding.stored()[-1].time.isoformat())


def test_feed_exports_metrics(feeding: Feeding, reader: Client) -> None:
    feeding.announce(*withheld(3))
    read(feeding, reader, after=1)
    feeding.read(client("nobody"))

    def figures() -> str:
        return generate_latest().decode()

    wait_until(lambda: "feed_head_position 3.0" in figures(), limit=5, what="the watcher has seen it")
    lines = figures().splitlines()
    (age,) = [float(line.split()[1]) for line in lines if line.startswith("feed_newest_event_age_seconds ")]
    assert 0 < age < 60
    assert 'feed_reader_position{reader="backoffice"} 1.0' in lines
    assert any(line.startswith('feed_refused_total{reason="reader-unknown"}') for line in lines)
