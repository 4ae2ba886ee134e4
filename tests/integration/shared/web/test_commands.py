"""POSTs in one transaction and in several: one answer per Idempotency-Key."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from shared.db import Pool
from tests.integration.shared.web.small_client import NOTES, Client, headers, notes, post, problem, token
from tests.integration.shared.web.small_service import make_app


def test_same_key_and_body_get_the_same_bytes_and_change_nothing_more(client: Client, pool: Pool) -> None:
    first = post(client, {"text": "hello"}, "key-0001")
    again = post(client, {"text": "hello"}, "key-0001")
    assert first.status_code == again.status_code == HTTPStatus.CREATED
    assert first.get_data() == again.get_data()
    assert first.mimetype == again.mimetype == "application/json"
    assert notes(pool) == 1


def test_same_key_with_another_body_is_refused(client: Client, pool: Pool) -> None:
    post(client, {"text": "hello"}, "key-0001")
    assert problem(post(client, {"text": "other"}, "key-0001")) == (422, "idempotency-key-reused")
    assert notes(pool) == 1


def test_same_key_of_another_caller_is_independent(client: Client, pool: Pool) -> None:
    post(client, {"text": "hello"}, "key-0001")
    assert post(client, {"text": "other"}, "key-0001", Authorization=f"Bearer {token('AR-2')}").status_code == 201
    assert notes(pool) == 2


@pytest.mark.parametrize("key", ["", "short", "x" * 201, "schlüssel-1", "two words"])
def test_key_that_is_missing_or_malformed_is_refused(client: Client, pool: Pool, key: str) -> None:
    given = headers()
    given["Idempotency-Key"] = key
    if not key:
        del given["Idempotency-Key"]
    answer = client.post(NOTES, data=b'{"text": "x"}', headers=given)
    assert problem(answer) == (400, "idempotency-key-missing")
    assert notes(pool) == 0


def test_key_whose_request_is_still_running_is_refused_and_later_answered(pool: Pool) -> None:
    app, begun = make_app(pool), threading.Barrier(2)

    def send(seconds: float) -> TestResponse:
        begun.wait(5)
        return post(app.test_client(), {"text": "slow", "seconds": seconds}, "key-0001")

    with ThreadPoolExecutor() as threads:
        answers = [*threads.map(send, [0.8, 0.8])]
    running, done = sorted(answers, key=lambda answer: answer.status_code, reverse=True)
    assert done.status_code == 201
    assert problem(running) == (409, "idempotency-key-in-use")
    assert running.headers["Retry-After"] == "1"
    assert post(app.test_client(), {"text": "slow", "seconds": 0.8}, "key-0001").get_data() == done.get_data()
    assert notes(pool) == 1


@pytest.mark.parametrize(
    ("texts", "refused"),
    [
        (["slow", "slow", "slow"], (409, "idempotency-key-in-use")),
        (["slow", "other", "third"], (422, "idempotency-key-reused")),
    ],
    ids=["one body", "three bodies"],
)
def test_only_one_of_concurrent_multi_step_requests_with_one_key_runs(
    pool: Pool, texts: list[str], refused: tuple[int, str]
) -> None:
    app, begun = make_app(pool), threading.Barrier(len(texts))

    def send(text: str) -> TestResponse:
        begun.wait(5)
        return slow(app, text, 0.5)

    with ThreadPoolExecutor() as threads:
        answers = sorted(threads.map(send, texts), key=lambda answer: answer.status_code)
    assert answers[0].status_code == 201
    # Two that look the key up in the same instant: one of them gets a 409, whatever its body.
    assert {problem(answer) for answer in answers[1:]} <= {refused, (409, "idempotency-key-in-use")}
    assert notes(pool) == 1


def test_key_is_free_again_after_a_refusal_or_a_crash(pool: Pool) -> None:
    app = make_app(pool)
    assert problem(slow(app, "sad")) == (409, "too-sad")
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO idempotency_running SELECT %s, %s, %s, now() + interval '1 minute'",
            ("AR-1", "key-0002", "of the process that died"),
        )
    assert slow(app, "glad").status_code == 201
    assert problem(slow(app, "other", key="key-0002")) == (422, "idempotency-key-reused")


def slow(app: Flask, text: str, seconds: float = 0, key: str = "key-0001") -> TestResponse:
    body = json.dumps({"text": text, "seconds": seconds})
    client: Client = app.test_client()
    return client.post("/small/v1/slow-notes", data=body, headers=headers(key))


def test_refused_request_changes_nothing_and_may_be_sent_again(client: Client, pool: Pool) -> None:
    assert problem(post(client, {"text": "sad"}, "key-0001")) == (409, "too-sad")
    assert notes(pool) == 0
    assert post(client, {"text": "glad"}, "key-0001").status_code == 201
