"""Bodies that no client of ours would send: always a problem document, never a 500, never a lost renewal."""

import json
from typing import Any, cast

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from shared.db import Pool
from shared.web.app import MAX_BODY_BYTES
from tests.integration.services.application.world import WWW, World, body
from tests.support.builders import AR
from tests.support.problems import problem, slug

GOOD = {"items": [{"srn": WWW}], "language": "en"}
BAD_DRAFTS: dict[str, Any] = {
    "nothing": {},
    "a list": [GOOD],
    "a string": "renew all",
    "null": None,
    "no items": {"items": []},
    "items null": {"items": None},
    "items a string": {"items": WWW},
    "item a string": {"items": [WWW]},
    "21 items": {"items": [{"srn": f"{n:010d}"} for n in range(21)]},
    "an SRN twice": {"items": [{"srn": WWW}, {"srn": WWW}]},
    "a short SRN": {"items": [{"srn": "1"}]},
    "an SRN and a line feed": {"items": [{"srn": WWW + "\n"}]},
    "an SRN of other digits": {"items": [{"srn": "٠١٢٣٤٥٦٧٨٩"}]},
    "an SRN as a number": {"items": [{"srn": 2310001}]},
    "NUL": {"items": [{"srn": "\0" * 10}]},
    "a lone surrogate": {"items": [{"srn": "\ud800" * 10}]},
    "an unknown field": GOOD | {"price": 1},
    "an unknown field of an item": {"items": [{"srn": WWW, "amount_minor": 1}]},
    "servers below zero": {"items": [{"srn": WWW, "additional_servers": -1}]},
    "servers as text": {"items": [{"srn": WWW, "additional_servers": "1"}]},
    "half a server": {"items": [{"srn": WWW, "additional_servers": 0.5}]},
    "servers as truth": {"items": [{"srn": WWW, "additional_servers": True}]},
    "too many servers": {"items": [{"srn": WWW, "additional_servers": 10**30}]},
    "an unknown language": GOOD | {"language": "fr"},
    "language a list": GOOD | {"language": ["en"]},
}


@pytest.mark.parametrize("what", BAD_DRAFTS)
def test_bad_draft_is_a_problem_and_is_not_stored(world: World, what: str) -> None:
    answer = world.post("/renewals", BAD_DRAFTS[what])
    assert problem(answer) in {(422, "invalid-request"), (400, "malformed-request")}
    assert world.rows("SELECT 1 FROM renewals UNION ALL SELECT 1 FROM idempotency_keys") == []


RAW: dict[str, tuple[bytes, str, int]] = {
    "no JSON": (b"{", "application/json", 400),
    "invalid UTF-8": (b'{"items": "\xff\xfe"}', "application/json", 400),
    "too deep": (b"[" * 100_000, "application/json", 400),
    "too large": (b'{"items": "' + b"x" * 1_000_000 + b'"}', "application/json", 413),
    "no media type": (json.dumps(GOOD).encode(), "", 422),
    "a form": (b"items=1", "application/x-www-form-urlencoded", 422),
    "empty": (b"", "application/json", 422),
    "NaN": (b'{"items": NaN}', "application/json", 422),
    "a huge number": (b'{"items": ' + b"9" * 5000 + b"}", "application/json", 400),
}


@pytest.mark.parametrize("path", ["/renewals", "/renewals/00000000-0000-0000-0000-000000000001/submission"])
@pytest.mark.parametrize("what", RAW)
def test_body_that_cannot_be_read_is_a_problem(world: World, what: str, path: str) -> None:
    data, media_type, status = RAW[what]
    headers = {"Authorization": f"Bearer {world.ar.access_token()}", "Idempotency-Key": "some-good-key"}
    answer = world.http.post(f"/application/v1{path}", data=data, headers=headers | {"Content-Type": media_type})
    assert (answer.status_code, bool(slug(answer))) == (status, True)


def test_body_of_the_largest_size_is_read(world: World) -> None:
    padding = " " * (MAX_BODY_BYTES - len(json.dumps(GOOD)))
    headers = {"Authorization": f"Bearer {world.ar.access_token()}", "Idempotency-Key": "some-good-key"}
    answer = world.http.post(
        "/application/v1/renewals", data=json.dumps(GOOD) + padding, headers=headers, content_type="application/json"
    )
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "sent",
    [
        *[[], None, {}],
        *[{"attestation": value} for value in ("", None, 1, "x" * 20_001)],
        {"attestation": "x", "renewal_id": "x"},
    ],
)
def test_bad_submission_is_a_problem(world: World, sent: Any) -> None:
    renewal = world.draft()
    answer = world.post(f"/renewals/{renewal.id}/submission", sent)
    assert slug(answer) in {"invalid-request", "malformed-request"}
    assert world.state(renewal) == "draft"


@pytest.mark.parametrize(
    "path", ["/renewals/1", "/renewals/%00", "/renewals/..%2f", f"/renewals/{'0' * 32}x", "/nothing"]
)
def test_malformed_id_is_not_found(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.status_code in {400, 404}
    assert slug(answer)


@pytest.mark.parametrize("key", [None, "", "short", "x" * 201, "with space", "ключ-ключ"])
def test_post_without_a_good_idempotency_key_is_refused(world: World, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {world.ar.access_token()}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    answer = world.http.post("/application/v1/renewals", headers=headers, json=GOOD)
    assert problem(answer) == (400, "idempotency-key-missing")


def test_unknown_method_is_a_problem(world: World) -> None:
    answer = world.http.delete("/application/v1/renewals")
    assert problem(answer) == (405, "method-not-allowed")


# What the OpenAPI document says


@pytest.fixture
def openapi(pool: Pool) -> dict[str, Any]:
    answer = World(pool=pool).http.get("/application/v1/openapi.json")
    assert answer.status_code == 200
    return cast(dict[str, Any], body(answer))


FOR_EVERYONE = tuple(f"get /application/v1/{path}" for path in ("terms", "terms/{version}", "prices", "jwks"))


def test_openapi_document_is_valid_and_complete_for_clients(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1")
    operations = [
        (f"{method} {path}", operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post"}
    ]
    assert len(operations) == 11
    for name, operation in operations:
        assert operation["summary"], name
        assert operation["security"] == ([] if name in FOR_EVERYONE else [{"access_token": []}]), name
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                assert list(response["content"]) == ["application/json"], name
        headers = [each["name"] for each in operation.get("parameters", []) if each["in"] == "header"]
        assert headers == (["Idempotency-Key"] if name.startswith("post") else []), name
    for schema in openapi["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    draft = openapi["paths"]["/application/v1/renewals"]["post"]
    assert draft["requestBody"]["required"] is True
    schemas = openapi["components"]["schemas"]
    assert {"Renewal", "RenewalSummary", "Item", "Refund", "Timeline", "Draft", "Eligible"} <= set(schemas)
    assert schemas["Renewal"]["properties"]["state"]["enum"][0] == "draft"


def test_no_generated_request_gets_a_500(world: World) -> None:
    """Requests that schemathesis makes from the OpenAPI document, right ones and wrong ones."""
    renewal = world.draft()
    asked = []

    def answered(case: Any) -> None:
        world.keys_used += 1
        if case.path_parameters and world.keys_used % 2:
            case.path_parameters["renewal_id"] = str(renewal.id)
        headers = {"Authorization": f"Bearer {AR().access_token()}", "Idempotency-Key": f"generated-{world.keys_used}"}
        answer = case.call(headers=headers)
        asked.append(answer.status_code)
        assert answer.status_code < 500, case.as_curl_command()
        assert answer.status_code < 400 or "application/problem+json" in answer.headers["content-type"]

    for operation in schemathesis.openapi.from_wsgi("/application/v1/openapi.json", world.app).get_all_operations():
        assert isinstance(operation, Ok)
        generated = given(case=operation.ok().as_strategy())(answered)
        settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))(generated)()
    assert {200, 422} <= set(asked)
