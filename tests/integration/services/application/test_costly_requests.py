"""Requests made to keep a parser busy cost a service little time and get a short answer, whatever they are."""

import json
import time
from typing import Any

import pytest

from shared.web.app import MAX_BODY_BYTES
from tests.integration.services.application.world import WWW, World
from tests.support.problems import problem, slug

KB = 1024
# Without a budget it was twelve; a busy machine takes several times as long as a quiet one.
MAX_SECONDS = 0.5
MAX_ANSWER_BYTES = 16 * KB
BODIES: dict[str, bytes] = {
    "elements": b'{"items":[' + b"1," * 120_000 + b"1]}",
    "elements within the budget": b'{"items":[' + b"1," * 3900 + b"1]}",
    "empty lists": b'{"items":[' + b"[]," * 80_000 + b"1]}",
    "objects": b'{"items":[' + b'{"a":1},' * 30_000 + b"1]}",
    "objects within the budget": b'{"items":[' + b'{"a":1},' * 1200 + b"1]}",
    "fields": json.dumps({f"f{n}": 1 for n in range(20_000)}).encode(),
    "fields within the budget": json.dumps({f"f{n}": 1 for n in range(1900)}).encode(),
    "one long name": json.dumps({"n" * 250_000: 1}).encode(),
    "depth": b'{"items":' + b"[" * 900 + b"]" * 900 + b"}",
    "more depth": b"[" * 250_000,
    "a long number": b'{"items":' + b"9" * 250_000 + b"}",
    "many numbers": b'{"items":[' + b"9" * 4000 + (b"," + b"9" * 4000) * 60 + b"]}",
    "a long text": b'{"items":"' + b"\\u4e00" * 40_000 + b'"}',
}
HEADERS: dict[str, dict[str, str]] = {
    "Authorization": {"Authorization": "Bearer " + "a." * 8000},
    "Authorization within the budget": {"Authorization": "Bearer " + "eyJh" * 1900},
    "Accept": {"Accept": "a/b;q=0.1," * 1600},
    "Content-Type": {"Content-Type": "application/json;" + "a=b;" * 4000},
    "Idempotency-Key": {"Idempotency-Key": "k" * 16_000},
    "traceparent": {"traceparent": "00-" * 5000},
}


def timed(world: World, data: bytes, headers: dict[str, str]) -> tuple[Any, float]:
    given = {"Authorization": f"Bearer {world.ar.access_token()}", "Idempotency-Key": "some-good-key"}
    given |= {"Content-Type": "application/json"} | headers
    world.http.get("/application/v1/nothing")
    begun = time.thread_time()
    answer = world.http.post("/application/v1/renewals", data=data, headers=given)
    return answer, time.thread_time() - begun


@pytest.mark.parametrize("what", BODIES)
def test_costly_body_is_refused_quickly_with_a_short_answer(world: World, what: str) -> None:
    assert len(BODIES[what]) <= MAX_BODY_BYTES
    answer, seconds = timed(world, BODIES[what], {})
    assert slug(answer) in {"invalid-request", "malformed-request"}
    assert (seconds < MAX_SECONDS, len(answer.data) < MAX_ANSWER_BYTES) == (True, True), f"{seconds}, {answer.data!r}"


@pytest.mark.parametrize("what", HEADERS)
def test_costly_header_is_refused_quickly_with_a_short_answer(world: World, what: str) -> None:
    answer, seconds = timed(world, json.dumps({"items": [{"srn": WWW}]}).encode(), HEADERS[what])
    assert problem(answer) in {
        (431, "request-header-fields-too-large"),
        (401, "token-refused"),
    }
    assert (seconds < MAX_SECONDS, len(answer.data) < MAX_ANSWER_BYTES) == (True, True), f"{seconds}, {answer.data!r}"


def test_unknown_method_adds_no_metric_series(world: World) -> None:
    from prometheus_client import generate_latest

    for number in range(20):
        world.http.open("/application/v1/renewals", method=f"METHOD{number}")
    assert b"METHOD" not in generate_latest()
