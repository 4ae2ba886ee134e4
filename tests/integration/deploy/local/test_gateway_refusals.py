"""Refusals of the gateway itself, with a text for the client, over HTTP/1.1 and HTTP/2."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.gateway.rules import MAX_BODY_BYTES, MAX_HEADERS, PROBLEMS
from deploy.local import pki as local_pki
from shared.web import app
from tests.integration.deploy.local.echo import Answer, Client
from tests.integration.deploy.local.gateway import API, PAGES, SIGN_IN, gateway_with

KB, MB = 1000, 1_000_000


def assert_refused(answer: Answer, status: int) -> None:
    slug, title = PROBLEMS[status]
    assert answer.json == {"type": f"urn:ecert:problem:{slug}", "title": title, "status": status}
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.fixture(scope="module")
def impatient(pki: local_pki.PKI) -> Iterator[Client]:
    """A gateway that waits for one second alone."""
    with gateway_with(pki, ["issuance"], request_seconds=1) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def hurried(impatient: Client, request: pytest.FixtureRequest) -> Client:
    """A client of the gateway that waits for one second alone."""
    return replace(impatient, http2=request.param)


def test_body_of_the_maximum_size_reaches_the_service(client: Client) -> None:
    assert MAX_BODY_BYTES == app.MAX_BODY_BYTES
    answer = client.ask(API, "/issuance/v1/x", method="POST", body=b"x" * MAX_BODY_BYTES)
    assert answer.json["length"] == MAX_BODY_BYTES


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 300 * KB, 400 * KB, 1 * MB, 8 * MB, 40 * MB])
def test_too_large_body_is_refused_with_a_problem(client: Client, size: int) -> None:
    assert_refused(client.ask(API, "/issuance/v1/x", method="POST", body=b"x" * size), 413)


@pytest.mark.parametrize(("host", "path"), [(API, "/identity/v1/tokens"), (API, "/nowhere"), (SIGN_IN, "/nowhere")])
def test_too_large_body_is_refused_on_every_route(client: Client, host: str, path: str) -> None:
    assert_refused(client.ask(host, path, method="POST", body=b"x" * MB), 413)


def test_after_a_body_that_was_too_large_the_next_request_is_answered(client: Client) -> None:
    assert_refused(client.ask(API, "/issuance/v1/x", method="POST", body=b"x" * MB), 413)
    assert client.ask(API, "/issuance/v1/x", method="POST", body=b"x").json["length"] == 1


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 8 * MB])
def test_form_larger_than_any_page_takes_does_not_reach_the_portal(client: Client, size: int) -> None:
    answer = client.ask(PAGES, "/en/", method="POST", body=b"x" * size)
    assert answer.status == 413
    assert "too large" in answer.body.decode()


@pytest.mark.parametrize("size", [33, 60])
def test_headers_beyond_the_limit_are_refused(client: Client, size: int) -> None:
    assert_refused(client.ask(API, "/identity/v1/me", headers={"x-long": "x" * size * 1024}), 431)


def test_too_many_headers_are_refused(client: Client) -> None:
    headers = {f"x-{number}": "x" for number in range(MAX_HEADERS // 2)}
    assert client.ask(API, "/identity/v1/me", headers=headers).status == 200
    headers = {f"x-{number}": "x" for number in range(MAX_HEADERS + 1)}
    assert_refused(client.ask(API, "/identity/v1/me", headers=headers), 431)


def test_headers_far_beyond_every_limit_do_not_reach_a_service(client: Client) -> None:
    """Over HTTP/1.1 with the same words; an HTTP/2 stream ends without any."""
    try:
        answer = client.ask(API, "/identity/v1/me", headers={"x-long": "x" * 200 * 1024})
    except ConnectionError:
        assert client.http2
    else:
        assert_refused(answer, 431)


def test_unavailable_service_is_a_503_problem(client: Client) -> None:
    assert_refused(client.ask(API, "/payment/v1/checkouts"), 503)
    assert_refused(client.ask(API, "/payment/v1/checkouts", method="POST", body=b"x" * MAX_BODY_BYTES), 503)


def test_service_timeout_is_a_504_problem(hurried: Client) -> None:
    assert_refused(hurried.ask(API, "/issuance/v1/silent"), 504)


def test_body_that_does_not_arrive_in_time_is_reported(hurried: Client) -> None:
    assert_refused(hurried.ask_and_never_end(API, "/issuance/v1/x"), 408)


def test_escaped_slash_is_refused(client: Client) -> None:
    assert_refused(client.ask(API, "/identity/v1/%2e%2e%2f%2e%2e%2fmetrics"), 400)


def test_error_pages_of_the_portal_host_are_in_three_languages(client: Client) -> None:
    answer = client.ask(PAGES, "/metrics")
    page = answer.body.decode()
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert page.startswith("<!doctype html>")
    assert [f'<p lang="{language}">' in page for language in ("en", "zh-Hant-HK", "zh-Hans")] == [True] * 3


def test_error_page_of_an_unavailable_portal_says_that_nothing_is_lost(pki: local_pki.PKI) -> None:
    with gateway_with(pki, ()) as client:
        answer = client.ask(PAGES, "/en/renewals/1")
    assert answer.status == 503
    assert "Nothing that you sent before is lost" in answer.body.decode()
