"""The app factory on a real PostgreSQL: checks, log and ids of every request, and a problem for each failure."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared import db
from shared.db import Pool
from tests.integration.shared.web.small_client import NOTES, Client, headers, notes, post, problem
from tests.integration.shared.web.small_service import make_app
from tests.support.engines import free_port


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
