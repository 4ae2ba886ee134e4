"""The app factory on a real PostgreSQL: one answer per Idempotency-Key, and a problem for whatever else comes."""

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeAlias

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from shared import db
from shared.db import Pool
from shared.security.tokens import TokenKind, sign
from shared.tx import utc_now
from tests.integration.shared.web.small_service import KEY, make_app
from tests.support import problems
from tests.support.engines import Database, Postgres, free_port

Client: TypeAlias = FlaskClient
NOTES = "/small/v1/notes"


def token(ar_id: str = "AR-1") -> str:
    claims = {"sub": ar_id, "subscriber_id": "S-1", "certificate_sha256": "00" * 32, "role": "ar"}
    return sign(claims, kind=TokenKind.ACCESS, key=KEY, now=utc_now(), issuer="identity")


def headers(key: str | None = None, **more: str) -> dict[str, str]:
    given = {"Authorization": f"Bearer {token()}", "Idempotency-Key": key or str(uuid.uuid4())}
    return {**given, "Content-Type": "application/json", **{name.replace("_", "-"): more[name] for name in more}}


@pytest.fixture(scope="module")
def made(postgres: Postgres) -> Iterator[Database]:
    """One database for all tests of this module."""
    with postgres.database("application") as made:
        yield made


@pytest.fixture(scope="module")
def opened(made: Database) -> Iterator[Pool]:
    with db.open_pool(made.url, name="test") as pool:
        yield pool


@pytest.fixture
def pool(made: Database, opened: Pool) -> Pool:
    """The database, with nothing in it that a test before has left."""
    with psycopg.connect(made.superuser_url, autocommit=True) as conn:
        conn.execute("TRUNCATE audit_log, idempotency_keys")
    return opened


@pytest.fixture
def client(pool: Pool) -> Client:
    return make_app(pool).test_client()


def post(client: Client, body: Any, key: str | None = None, **more: str) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(NOTES, data=raw, headers=headers(key, **more))


def problem(response: TestResponse) -> tuple[int, str]:
    """Return status and slug of a problem that gives nothing away."""
    assert "secret" not in response.get_data(as_text=True)
    return problems.problem(response)


def notes(pool: Pool) -> int:
    with pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM audit_log WHERE action = 'noted'").fetchone()
    assert row is not None
    return int(row[0])


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


def test_internal_error_reveals_no_details(client: Client, pool: Pool) -> None:
    assert problem(post(client, {"text": "fault"})) == (500, "internal")
    assert notes(pool) == 0


def test_unavailable_dependency_is_503(client: Client) -> None:
    answer = post(client, {"text": "down"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"


BAD_BODIES = {
    "nothing": (b"", 422),
    "no JSON": (b"{", 400),
    "a NUL": (b'{"text": "a\\u0000b"}', 400),
    "a raw NUL": (b'{"text": "a\0b"}', 400),
    "a NUL in a name": (b'{"te\\u0000xt": "a"}', 400),
    "a lone surrogate": (b'{"text": "\\ud800"}', 400),
    "a lone surrogate in a name": (b'{"\\udfff": "a"}', 400),
    "invalid UTF-8": (b'{"text": "\xff"}', 400),
    "deep nesting": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "a long number": (b'{"text": ' + b"9" * 10_000 + b"}", 400),
    "one megabyte": (b'{"text": "' + b"x" * 1_000_000 + b'"}', 413),
    "an unknown field": (b'{"text": "a", "admin": true}', 422),
    "a wrong type": (b'{"text": {"a": 1}}', 422),
    "not a number": (b'{"text": "a", "seconds": NaN}', 422),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "text": (b'"text"', 422),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_is_a_problem_and_changes_nothing(client: Client, pool: Pool, name: str) -> None:
    body, status = BAD_BODIES[name]
    assert problem(post(client, body))[0] == status
    assert notes(pool) == 0


def test_escaped_backslash_before_a_u_is_no_nul(client: Client) -> None:
    text = r"\u0000 and \\u0000"
    answer = post(client, {"text": text})
    assert (answer.status_code, json.loads(answer.get_data())["text"]) == (201, text)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "nonsense"])
def test_body_of_another_media_type_is_a_problem(client: Client, kind: str) -> None:
    status, _ = problem(client.post(NOTES, data=b'{"text": "x"}', headers={**headers(), "Content-Type": kind}))
    assert status in (415, 422)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/small/v1/nothing", 404),
        ("GET", "/small/v1/notes/not-a-uuid", 404),
        ("GET", "/small/v1/notes/%00", 400),
        ("GET", "/small/v1/notes/%ff%fe", 404),
        ("GET", "/small/v1/notes?x=%00", 400),
        ("GET", "/small/v1/../../etc/passwd", 404),
        ("GET", NOTES, 405),
        ("DELETE", NOTES, 405),
        ("BREW", NOTES, 405),
    ],
)
def test_unknown_route_or_method_is_a_problem(client: Client, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method, headers=headers())
    assert problem(answer)[0] == status
    if status == 405:
        assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer x.y.z", "Basic dTpw", "Bearer " + "W" * 8_000])
def test_request_that_is_not_signed_in_is_a_problem(client: Client, pool: Pool, given: str | None) -> None:
    sent = headers()
    del sent["Authorization"]
    answer = client.post(NOTES, data=b'{"text": "x"}', headers={**sent, **({"Authorization": given} if given else {})})
    assert problem(answer)[0] == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert notes(pool) == 0


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    body=st.binary()
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_accepted_or_a_problem_and_never_a_500(client: Client, body: bytes) -> None:
    answer = post(client, body)
    assert answer.status_code == 201 or problem(answer)[0] in (400, 422)


@pytest.mark.parametrize("given", ["x", "with space in it", "ü" * 10, "a" * 65, "line\tbreak-line"])
def test_malformed_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/small/v1/nothing", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert client.get("/nothing", headers={"X-Request-Id": "good-one-1"}).headers["X-Request-Id"] == "good-one-1"


def test_clients_ids_are_logged_under_their_own_names(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = {
        "X-Request-Id": "the-gateways-1",
        "X-Client-Request-Id": "theirs-0001",
        "X-Client-Traceparent": traceparent,
    }
    client.get("/small/v1/nothing", headers=given)
    client.get("/small/v1/nothing", headers=given | {"X-Client-Request-Id": "a b", "X-Client-Traceparent": "x" * 999})
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines() if "http.request" in line)
    assert (first["request_id"], first["client_request_id"]) == ("the-gateways-1", "theirs-0001")
    assert first["client_traceparent"] == traceparent
    assert {"client_request_id", "client_traceparent"} & set(second) == set()


def test_unavailable_database_is_503_and_not_ready() -> None:
    url = f"postgresql://application:x@127.0.0.1:{free_port()}/nowhere"
    with db.open_pool(url, name="test", wait=0.3) as pool:
        client = make_app(pool).test_client()
        assert problem(post(client, {"text": "x"})) == (503, "unavailable")
        assert not db.answers(pool)


def test_database_that_restarted_serves_the_next_request(client: Client, pool: Pool) -> None:
    assert post(client, {"text": "x"}).status_code == 201
    with pool.connection() as conn:
        pids = [row[0] for row in conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'test'")]
        own = conn.info.backend_pid
        for pid in pids:
            if pid != own:
                conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
    assert post(client, {"text": "x"}).status_code == 201


def test_openapi_document_declares_errors_as_problems(client: Client) -> None:
    document = json.loads(client.get("/small/v1/openapi.json").get_data())
    assert document["openapi"] == "3.1.0"
    default = document["paths"][NOTES]["post"]["responses"]["default"]
    if "$ref" in default:
        default = document["components"]["responses"][default["$ref"].rpartition("/")[2]]
    assert [*default["content"]] == ["application/problem+json"]
