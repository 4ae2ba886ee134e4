"""Errors and pages of the feed over HTTP, as the kit reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

from backoffice.kit.client import FeedClient
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, Reply


class Client:
    """An HTTPS client with one answer."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def request(self, method: str, path: str, **options: Any) -> Reply:
        self.asked.append((method, path))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def feed(answer: Reply | Exception) -> tuple[FeedClient, Client]:
    made, client = FeedClient(Endpoint(url="https://feed.test", ca_file=Path("/none"))), Client(answer)
    made.close()
    made._client = client  # type: ignore[assignment]
    return made, client


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_status_that_asks_to_retry_is_unavailable(status: int) -> None:
    with pytest.raises(APIUnavailable, match=str(status)):
        feed(APIProblem(status, {}))[0].head()


@pytest.mark.parametrize("answer", [APIProblem(403, {}), Reply(status=302, body=b"")])
def test_other_status_is_a_refusal(answer: Reply | Exception) -> None:
    with pytest.raises(APIProblem):
        feed(answer)[0].head()


def test_page_names_unreadable_events_last_position_and_head() -> None:
    body = json.dumps([{"position": "7"}]).encode()
    client, sent = feed(Reply(status=200, body=body, headers={"Feed-Head": "9"}))
    page = client.page(6, limit=1, wait=2)
    assert (page.events, len(page.unreadable), page.last, page.head) == ([], 1, 7, 9)
    assert sent.asked == [("GET", "/issuance/v1/issuance-events?after=6&limit=1&wait=2")]


def test_empty_page_has_no_last_position() -> None:
    page = feed(Reply(status=200, body=b"[]", headers={"Feed-Head": "6"}))[0].page(6, limit=1)
    assert (page.events, page.last, page.head) == ([], None, 6)
