"""Errors of the API as the portal sees them, and the headers of the portal's requests."""

from collections.abc import Mapping
from typing import Any

import flask
import pytest

from portal.gateway import API
from shared.web.https_client import APIProblem, APIUnavailable, Reply
from tests.unit.portal.stub_api import settings


class Client:
    """An HTTPS client that fails with the given problem, or answers."""

    def __init__(self, problem: APIProblem | None = None) -> None:
        self.problem = problem
        self.headers: Mapping[str, str] = {}

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        self.headers = options["headers"]
        if self.problem is not None:
            raise self.problem
        return Reply(status=200, body=b"")


def api(client: Client) -> API:
    made = API(settings())
    made.close()
    made._client = client  # type: ignore[assignment]
    return made


def problem(status: int, slug: str | None) -> APIProblem:
    return APIProblem(status, {} if slug is None else {"type": f"urn:ecert:problem:{slug}"})


@pytest.mark.parametrize(("status", "slug"), [(502, None), (503, "unavailable"), (504, "internal")])
def test_answer_of_the_gateway_itself_is_unavailable(status: int, slug: str | None) -> None:
    with pytest.raises(APIUnavailable):
        api(Client(problem(status, slug))).get("/x")


@pytest.mark.parametrize(("status", "slug"), [(503, "provider-unavailable"), (500, None), (409, "payment-not-ready")])
def test_refusal_of_a_service_is_its_problem(status: int, slug: str | None) -> None:
    with pytest.raises(APIProblem) as refused:
        api(Client(problem(status, slug))).post("/x")
    assert refused.value.status == status


def test_request_of_a_page_carries_its_request_id() -> None:
    client = Client()
    with flask.Flask("portal").test_request_context(headers={"X-Request-Id": "r-1"}):
        api(client).post("/x", {}, headers={"Draft-Ticket": "t"})
    assert client.headers == {"Accept": "application/json, */*", "X-Request-Id": "r-1", "Draft-Ticket": "t"}


def test_request_outside_a_page_has_no_request_id() -> None:
    client = Client()
    api(client).get("/x")
    assert client.headers == {"Accept": "application/json, */*"}
